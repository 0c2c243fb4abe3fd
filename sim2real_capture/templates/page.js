'use strict';
// Labels: a click, or a key on the page of one clip. The page works without this file but for them.

const told = document.getElementById('told');
let hush;

function tell(text, bad) {
  told.textContent = text;
  told.className = bad ? 'shown bad' : 'shown';
  clearTimeout(hush);
  hush = setTimeout(() => { told.className = ''; }, 2500);
}

function count(label, by) {
  const place = document.querySelector(`[data-count="${label}"]`);
  if (place) place.textContent = Number(place.textContent) + by;
}

async function choose(button) {
  const group = button.closest('.labels');
  const pressed = group.querySelector('[aria-pressed="true"]');
  const before = pressed ? pressed.dataset.label : '';
  const label = button === pressed ? '' : button.dataset.label;
  group.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(`/clips/${encodeURIComponent(group.dataset.clip)}/label`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ label }),
    });
    if (!answer.ok) throw new Error((await answer.json()).error || answer.statusText);
    for (const other of group.querySelectorAll('button')) {
      other.setAttribute('aria-pressed', String(other.dataset.label === label));
    }
    count(before, -1);
    count(label, 1);
    tell(label ? `Labelled: ${label}` : 'Label removed');
  } catch (error) {
    tell(`Not labelled: ${error.message}`, true);
  } finally {
    group.removeAttribute('aria-busy');
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('.labels button');
  if (button) choose(button);
});

document.addEventListener('keydown', (event) => {
  if (event.target.matches('input') || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!document.querySelector('.head')) return;
  const turn = { j: 'next', k: 'prev' }[event.key];
  const link = turn && document.querySelector(`.turn a[rel="${turn}"]`);
  if (link) link.click();
  const buttons = [...document.querySelectorAll('.head .labels button')];
  const button = buttons.find((one) => one.dataset.label[0] === event.key);
  if (button) choose(button);
});
