"""What a trial hears of a node."""

import threading
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from sim2real_bringup import trial
from sim2real_core.errors import Sim2RealError


@pytest.fixture
def talker():
    """Says a status of a name every 50 ms, counting; levels and texts one after another."""
    context, stop, threads = rclpy.Context(), threading.Event(), []
    rclpy.init(context=context)
    node = rclpy.create_node('talker', context=context)
    publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def talk(name, said):
        count = 0
        while not stop.is_set():
            level, text = said[min(count // 4, len(said) - 1)]
            values = [KeyValue(key='commands', value=str(count))]
            status = DiagnosticStatus(name=name, level=level, message=text, values=values)
            publisher.publish(DiagnosticArray(status=[status]))
            count += 1
            time.sleep(0.05)

    def begin(name, *said):
        threads.append(threading.Thread(target=talk, args=(name, said)))
        threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join()
    node.destroy_node()
    rclpy.shutdown(context=context)


OK, ERROR = (DiagnosticStatus.OK, 'active'), (DiagnosticStatus.ERROR, 'active: holds, x')


@pytest.mark.parametrize('name', ['/policy: health', '/arm/policy: health'])
def test_hears_the_node_from_first_to_last(talker, name):
    talker(name, OK, ERROR, OK)
    talker('/other_policy: health', ERROR)
    shares, began = [], time.monotonic()
    heard = trial.listen(1.0, tell=shares.append)
    assert 1.0 <= heard.seconds <= time.monotonic() - began
    assert int(heard.last['commands']) > int(heard.first['commands'])
    assert heard.faults in ([], ['active: holds, x']) and shares[-1] == 1.0


def test_faults_are_heard_once_each(talker):
    talker('/policy: health', ERROR)
    assert trial.listen(0.5).faults == ['active: holds, x']


def test_a_node_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(trial, 'SILENT', 0.5)
    with pytest.raises(Sim2RealError, match='node policy is not heard'):
        trial.listen(5.0)
