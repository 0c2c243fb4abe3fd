"""An XML tree that keeps its text: what nobody edits is written back character for character.

Parsers forget what lies between the values (order and quotes of attributes, blanks, CDATA,
entities); a user's world must come back as it was written but for the numbers that a draw
changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from sim2real_core.errors import Fault, InputError

_OTHER = r'<!--.*?-->|<\?.*?\?>'
_CDATA = r'<!\[CDATA\[.*?\]\]>'
_TAG = r'<(?:[^<>"\']|"[^"]*"|\'[^\']*\')*>'
_TOKEN = re.compile(f'{_OTHER}|{_CDATA}|{_TAG}|[^<]+', re.S)
_NAME = re.compile(r'</?([^\s/>]+)')
_ATTRIBUTE = re.compile(r'([^\s=<]+)\s*=\s*("[^"]*"|\'[^\']*\')')
_ENTITIES = {'lt': '<', 'gt': '>', 'amp': '&', 'quot': '"', 'apos': "'"}


class Element:
    """An element: its tags as written, and between them text and elements.

    Attributes:
        tag: its name.
        line: where it starts, counted from 1; 0 for one that was added.
        head: start tag as written.
        items: content in order, text (with comments, CDATA, ...) and elements.
        tail: end tag as written; ``''`` for ``<a/>``.
    """

    def __init__(self, head: str, line: int = 0) -> None:
        named = _NAME.match(head)
        self.tag = named.group(1) if named else ''
        self.line = line
        self.head = head
        self.items: list[str | Element] = []
        self.tail = ''

    def __str__(self) -> str:
        return self.head + ''.join(map(str, self.items)) + self.tail

    def __iter__(self) -> Iterator[Element]:
        return (item for item in self.items if isinstance(item, Element))

    def get(self, attribute: str, default: str = '') -> str:
        """Value of an attribute."""
        for name, quoted in _ATTRIBUTE.findall(self.head):
            if name == attribute:
                return _unescape(quoted[1:-1])
        return default

    def set(self, attribute: str, value: str) -> None:
        """Change an attribute, or add it."""
        quoted = _quote(value)
        for found in _ATTRIBUTE.finditer(self.head):
            if found.group(1) == attribute:
                start, end = found.span(2)
                self.head = self.head[:start] + quoted + self.head[end:]
                return
        end = self.head.index(self.tag) + len(self.tag)
        self.head = f'{self.head[:end]} {attribute}={quoted}{self.head[end:]}'

    def all(self, tag: str) -> list[Element]:
        """Children of a name."""
        return [item for item in self if item.tag == tag]

    def find(self, path: str) -> Element | None:
        """First descendant along a path of names (``a/b/c``)."""
        here: Element | None = self
        for tag in path.split('/'):
            here = next((item for item in here if item.tag == tag), None) if here else None
        return here

    @property
    def text(self) -> str:
        """Characters directly inside, without comments, stripped."""
        parts = []
        for item in self.items:
            if isinstance(item, str):
                for token in _TOKEN.findall(item):
                    if token.startswith('<![CDATA['):
                        parts.append(token[9:-3])
                    elif not token.startswith('<'):
                        parts.append(_unescape(token))
        return ''.join(parts).strip()

    def set_text(self, value: str) -> None:
        """Change the characters of an element that has no children; its comments stay."""
        tokens = [token for item in self.items for token in _TOKEN.findall(str(item))]
        full = [
            index
            for index, token in enumerate(tokens)
            if token.startswith('<![CDATA[') or not (token.startswith('<') or token.isspace())
        ]
        if not full:
            self._open()
            self.items.append(value)
            return
        first, last = tokens[full[0]], tokens[full[-1]]
        before = first[: len(first) - len(first.lstrip())]
        after = last[len(last.rstrip()) :]
        kept = [token for token in tokens[full[0] : full[-1]] if token.startswith('<!--')]
        middle = [before + value, *kept, after]
        self.items = [*tokens[: full[0]], *middle, *tokens[full[-1] + 1 :]]

    def make(self, path: str) -> Element:
        """The descendant along a path; what is missing is added behind what is there."""
        here = self
        for tag in path.split('/'):
            found = here.find(tag)
            here = here.add(tag) if found is None else found
        return here

    def add(self, tag: str, text: str = '') -> Element:
        """Add a child behind the others, indented as they are."""
        child = Element(f'<{tag}>')
        child.tail = f'</{tag}>'
        if text:
            child.items.append(text)
        self._open()
        last = self.items[-1] if self.items else ''
        indent = next((i for i in self.items if isinstance(i, str) and i.isspace()), '')
        closing = last if isinstance(last, str) and last.isspace() and len(self.items) > 1 else ''
        if closing:
            self.items[-1:] = [str(indent), child, closing]
        else:
            self.items.append(child)
        return child

    def remove(self, child: Element) -> None:
        """Take a child out, with the blanks before it."""
        index = self.items.index(child)
        before = self.items[index - 1] if index else None
        blank = isinstance(before, str) and before.isspace()
        del self.items[index - 1 if blank else index : index + 1]

    def _open(self) -> None:
        """Make ``<a/>`` an ``<a></a>``."""
        if not self.tail:
            self.head = self.head[:-2].rstrip() + '>'
            self.tail = f'</{self.tag}>'


def parse(text: str, file: str = '') -> Element:
    """The document, as an element without tags whose ``str()`` is the text.

    Args:
        text: XML.
        file: named in errors.

    Raises:
        InputError: not well-formed, or with a document type, whose entities could hide text.
    """
    try:
        parser = etree.XMLParser(encoding='utf-8', resolve_entities=False, no_network=True)
        tree = etree.fromstring(text.encode(), parser).getroottree()
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, 'lineno', None)
        raise InputError(Fault('xml', str(error), 'mend the XML', file, line)) from error
    if tree.docinfo.doctype:
        mend = 'write it without a document type and its entities'
        raise InputError(Fault('xml', tree.docinfo.doctype, mend, file, 1))
    document = Element('')
    stack, line = [document], 1
    for token in _TOKEN.findall(text):
        here = stack[-1]
        if token.startswith('</'):
            here.tail = token
            stack.pop()
        elif token.startswith('<') and not token.startswith(('<!', '<?')):
            element = Element(token, line)
            here.items.append(element)
            if not token.endswith('/>'):
                stack.append(element)
        else:
            here.items.append(token)
        line += token.count('\n')
    assert str(document) == text
    return document


def escape(text: str) -> str:
    """Text as it is written between tags."""
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _quote(text: str) -> str:
    return '"' + escape(text).replace('"', '&quot;') + '"'


def _unescape(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        name = found.group(1)
        if name.startswith('#'):
            return chr(int(name[2:], 16) if name[1] in 'xX' else int(name[1:]))
        return _ENTITIES[name]

    return re.sub(r'&(#?\w+);', character, text)
