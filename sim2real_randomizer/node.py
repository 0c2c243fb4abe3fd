"""The randomizer node: asks the simulator for drawn worlds and reports what became of them."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from rosgraph_msgs.msg import Clock as ClockMessage
from std_srvs.srv import Trigger

from sim2real_core.errors import InputError
from sim2real_core.messages import (
    draw_from_message,
    draw_to_message,
    estimate_from_message,
    to_seconds,
)
from sim2real_core.node import Health, declare, read
from sim2real_core.node import main as run
from sim2real_core.profile import load_profile
from sim2real_core.qos import LATCHED, RELIABLE, SENSOR
from sim2real_core.records import Draw
from sim2real_randomizer.apply import failed
from sim2real_randomizer.config import RandomizerConfig
from sim2real_randomizer.course import moving
from sim2real_randomizer.doubts import doubts
from sim2real_randomizer.draw_log import append
from sim2real_randomizer.episodes import Episodes, answers, settled
from sim2real_randomizer.narrow import read_estimate
from sim2real_randomizer.space import load_space

TICK = 0.05
RESEND = 0.5  # a request sent while the simulator was still being discovered may be lost


@dataclass
class Request:
    """A draw that was asked for and not answered yet; times are steady."""

    draw: Draw
    done: Future
    deadline: float
    send: float


class RandomizerNode(Node):
    """Draws worlds. See :class:`RandomizerConfig` for its parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__('randomizer', **options)
        config = declare(self, RandomizerConfig)
        profile = self._profile = load_profile(config.robot)
        space = load_space(config.space, profile)
        self._doubtful, warnings = doubts(space, config.verified)
        for words in warnings:
            self.get_logger().warning(words)
        self._episodes = Episodes(space, config.first_episode)
        if config.estimate_file:
            self._episodes.learn(read_estimate(config.estimate_file), config)
        self._waiting: deque[Future] = deque()
        self._request: Request | None = None
        self._settled: Draw | None = None
        self._wrong = ''
        self._started = not config.on_start
        self._time = self._begun = -math.inf
        self._ask = self.create_publisher(DiagnosticArray, 'simulator/draw', RELIABLE)
        self._tell = self.create_publisher(DiagnosticArray, '~/draw', LATCHED)
        self.create_subscription(
            DiagnosticArray, 'simulator/draw_applied', self._on_applied, RELIABLE
        )
        if config.narrow_by_estimate:
            self.create_subscription(DiagnosticArray, 'sysid/estimate', self._on_estimate, LATCHED)
        if config.on_reset or moving(space):
            self.create_subscription(ClockMessage, 'clock', self._on_clock, SENSOR)
        # A group of its own: a call that waits for its answer must not keep the answer out.
        group = ReentrantCallbackGroup()
        self.create_service(Trigger, '~/randomize', self._on_randomize, callback_group=group)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TICK, self._tick, clock=steady)
        self._health = Health(self, self._status)

    async def _on_randomize(
        self, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        draw, wrong = await self.randomize()
        response.success = not wrong
        response.message = f'episode {draw.episode}: ' + (
            wrong or f'{len(draw.values)} values applied'
        )
        return response

    def randomize(self) -> Future:
        """Ask for the next episode's world.

        Returns:
            A future of the Draw with its outcomes, and of what went wrong (``''``: nothing).
        """
        done = Future()
        self._waiting.append(done)
        self._begin()
        return done

    def _begin(self) -> None:
        """Begin the oldest waiting request, one at a time."""
        while self._request is None and self._waiting:
            config, done = read(self, RandomizerConfig), self._waiting.popleft()
            number = self._episodes.number
            try:
                self._ask_for(self._episodes.next(config), done)
            except InputError as error:
                self.get_logger().error(f'episode {number}: {error}')
                done.set_result((Draw(number, config.seed, config.environment), str(error)))

    def _ask_for(self, draw: Draw, done: Future) -> None:
        timeout, now = self.get_parameter('apply_timeout').value, time.monotonic()
        self._request = Request(draw, done, now + timeout, now)
        self._send()

    def _simulator_found(self) -> bool:
        return (
            self._ask.get_subscription_count() > 0
            and self.count_publishers('simulator/draw_applied') > 0
        )

    def _send(self) -> None:
        request = self._request
        if request is not None and time.monotonic() >= request.send and self._simulator_found():
            request.send = time.monotonic() + RESEND
            self._ask.publish(draw_to_message(request.draw, self._now(), self._profile))

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _tick(self) -> None:
        if not self._started and self._simulator_found():
            self._started = True
            self.randomize()
        request = self._request
        if request is not None and time.monotonic() > request.deadline:
            self._settle(None)
        self._send()

    def _on_applied(self, message: DiagnosticArray) -> None:
        try:
            answer = draw_from_message(message)
        except InputError as error:
            self.get_logger().error(f'simulator/draw_applied: {error}')
            return
        if self._request is not None and answers(answer, self._request.draw):
            self._settle(answer)

    def _settle(self, answer: Draw | None) -> None:
        """Report what became of the present request, and begin the next."""
        request, self._request = self._request, None
        assert request is not None  # both callers looked
        draw = self._settled = settled(request.draw, answer)
        self._tell.publish(draw_to_message(draw, self._now(), self._profile))
        self._log(draw)
        if draw.step == 0:
            self._begun = self._time
        wrong = [f'{address} {draw.outcomes[address]}' for address in failed(draw)]
        if answer is None:
            timeout = self.get_parameter('apply_timeout').value
            wrong.insert(0, f'no answer from the simulator within {timeout:g} s')
        self._wrong = ', '.join(wrong)
        if wrong:
            self.get_logger().error(f'episode {draw.episode}: {self._wrong}')
        request.done.set_result((draw, self._wrong))
        self._begin()

    def _log(self, draw: Draw) -> None:
        file = self.get_parameter('draws_file').value
        size = 1e6 * self.get_parameter('draws_file_size').value
        try:
            if file:
                only = self._episodes.varying if draw.step else None
                append(file, draw, self._now(), only, size)
        except OSError as error:
            self.get_logger().error(f'draws_file: {error}', throttle_duration_sec=10.0)

    def _on_estimate(self, message: DiagnosticArray) -> None:
        try:
            self._episodes.learn(estimate_from_message(message), read(self, RandomizerConfig))
        except InputError as error:
            self.get_logger().error(f'sysid/estimate is left aside: {error}')

    def _on_clock(self, message: ClockMessage) -> None:
        before, self._time = self._time, to_seconds(message.clock)
        if not -math.inf < before <= self._time:
            self._begun = self._time
            if before > self._time and self.get_parameter('on_reset').value:
                self.randomize()
        elif self._request is None and self._settled is not None:
            self._vary()

    def _vary(self) -> None:
        """Ask for what has changed within the episode."""
        try:
            draw = self._episodes.later(self._time - self._begun)
        except InputError as error:
            self.get_logger().error(f'varies no more in this episode: {error}')
            return
        if draw is not None:
            self._ask_for(draw, Future())

    def _status(self) -> tuple[bytes, str, dict[str, object]]:
        values: dict[str, object] = {'space': self._episodes.space.content_hash}
        if self._doubtful:
            values['not_verified'] = self._doubtful
        if self._request is not None:
            return DiagnosticStatus.OK, 'waiting for the simulator', values
        if self._settled is None:
            return DiagnosticStatus.OK, 'nothing drawn yet', values
        values['episode'] = self._settled.episode
        if self._wrong:
            return DiagnosticStatus.WARN, f'not as drawn: {self._wrong}', values
        return DiagnosticStatus.OK, 'the world is as drawn', values

    def close(self) -> None:
        """Say goodbye."""
        self._health.close()


def main(args: list[str] | None = None) -> int:
    """Run the randomizer node."""
    return run(RandomizerNode, args)


if __name__ == '__main__':
    sys.exit(main())
