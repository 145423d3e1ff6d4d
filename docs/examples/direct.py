#!/usr/bin/env python3
"""Publish a job to semantic straight over NATS and stream its answer.

    pip install nats-py
    python direct.py --model smollm2-135m-instruct "Why is the sky blue?"

Everything a direct publisher needs is here: publish with a refusal that is
seen, stream, cancel, deadline, full queue, failure, and reading on after a lost
connection. docs/direct-nats.md explains each step.

Exit code: 0 done, 3 failed, 4 cancelled, 5 expired, 6 the job was refused.
"""
import argparse
import asyncio
import json
import secrets
import sys

import nats
from nats.errors import NoRespondersError, TimeoutError
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

TERMINAL = {"done": 0, "failed": 3, "cancelled": 4, "expired": 5}
QUEUE_FULL = 10077  # JetStream: the class, or your flow, holds no more jobs
WRONG_SEQUENCE = 10071  # JetStream: the log is not as long as you said
SILENCE = 5.0  # seconds without an event before we look into the log


def slug(name: str) -> str:
    """One subject token for any name: letters, digits, - and _ stay."""
    keep = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(chr(b) if b in keep else f"={b:02X}" for b in name.encode())


class Refused(Exception):
    """The broker did not store the job: nothing will happen to it."""


class Stream:
    """One job's events in order, without gaps or repeats.

    The live feed repeats what the log accepted, so it may be lost with the
    connection, and an event may be sent again after a takeover. The number n
    tells: a repeat is dropped, a gap is filled from the log.
    """

    def __init__(self, nc, owner: str, job: str, inbox: str = ""):
        self.nc, self.js, self.job = nc, nc.jetstream(), job
        self.log = f"semantic.events.{owner}.{job}"
        self.feed = inbox or f"semantic.reply.{owner}.{job}"
        self.next = 1
        self.worker = ""  # who has the job, as the last `started` or `requeued` said

    async def open(self):
        # Before publishing, so that the first event is not missed.
        self.sub = await self.nc.subscribe(self.feed)
        return self

    async def events(self):
        while True:
            try:
                message = await self.sub.next_msg(timeout=SILENCE)
                batch = self.read(message)
            except TimeoutError:
                batch = []  # nothing is heard: perhaps the last event was lost
            if not batch or batch[0]["n"] > self.next:
                batch = await self.read_log()
            for event in batch:
                if event["n"] != self.next:
                    continue  # a repeat
                self.next += 1
                if event["type"] == "started":
                    self.worker = event["started"]["worker"]
                elif event["type"] == "requeued":
                    self.worker = ""  # given back, or not begun yet: nobody to ask
                yield event
                if event["type"] in TERMINAL:
                    await self.sub.unsubscribe()
                    return

    def read(self, message):
        """The event in a message, or nothing: others may get junk stored."""
        try:
            event = json.loads(message.data)
        except ValueError:
            return []
        return [event] if isinstance(event, dict) and event.get("job") == self.job and "n" in event else []

    async def end_of_log(self):
        """The stream sequence of the log's last entry, and the last event's n."""
        try:
            last = (await self.js.get_last_msg("EVENTS", self.log)).seq
        except NotFoundError:
            return 0, 0
        events = await self.read_log()
        return last, events[-1]["n"] if events else 0

    async def read_log(self):
        """All events stored so far (JetStream is authoritative)."""
        try:
            last = (await self.js.get_last_msg("EVENTS", self.log)).seq
        except (APIError, TimeoutError, NoRespondersError):
            return []  # no event yet, or the broker is away: try again later
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        sub = await self.js.subscribe(self.log, stream="EVENTS", ordered_consumer=True, config=config)
        found = []
        try:
            while True:
                message = await sub.next_msg(timeout=SILENCE)
                found += self.read(message)
                if message.metadata.sequence.stream >= last:
                    return found
        except TimeoutError:
            return found
        finally:
            await sub.unsubscribe()


async def publish(js, args, job: str):
    """Store the job. A JetStream publish is answered; a core publish is not,
    and would lose a refusal without a word."""
    body = {
        "v": 1,
        "model": args.model,
        "messages": [{"role": "user", "content": args.prompt}],
        "temperature": args.temperature,
    }
    if args.max_tokens:
        body["max_tokens"] = args.max_tokens
    if args.deadline:
        body["deadline_ms"] = int(args.deadline * 1000)
    subject = f"semantic.jobs.{slug(args.model)}.{args.job_class}.{args.flow:02d}.{args.owner}"
    headers = {"Nats-Msg-Id": job}  # makes a second publish of the same job harmless
    if args.inbox:
        headers["Semantic-Reply-To"] = args.inbox
    try:
        await js.publish(subject, json.dumps(body).encode(), headers=headers, timeout=5)
    except APIError as e:
        if e.err_code == QUEUE_FULL:
            raise Refused("the queue is full: try again later") from e
        raise Refused(f"the broker refused the job: {e.description}") from e
    except (NoRespondersError, TimeoutError) as e:
        raise Refused("no answer: no JetStream, or this subject is not allowed to you") from e


async def cancel(nc, owner: str, job: str, stream):
    """Ask for the end until it is there. A running job's worker writes
    `cancelled`; where nobody has the job, the end is written into the log here,
    which is accepted only while nothing else is appended."""
    while True:
        if stream.worker:
            message = {"kind": "cancel", "owner": owner, "job": job}
            await nc.publish(f"semantic.control.{slug(stream.worker)}", json.dumps(message).encode())
        else:
            try:
                last, n = await stream.end_of_log()
                event = {"v": 1, "job": job, "n": n + 1, "type": "cancelled", "time": now(), "cancelled": {"reason": "requested"}}
                await nc.jetstream().publish(
                    f"semantic.events.{owner}.{job}",
                    json.dumps(event).encode(),
                    headers={"Nats-Expected-Last-Subject-Sequence": str(last)},
                )
                return
            except APIError as e:
                if e.err_code != WRONG_SEQUENCE:
                    raise
                # A worker was faster: its `started` is on the way.
            except (NoRespondersError, TimeoutError):
                pass  # no answer in time: the log tells, or it is asked again
        await asyncio.sleep(0.25)


def now() -> str:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


async def quiet(_error):
    """A lost connection is no news: the client comes back, and we read on."""


async def run(args) -> int:
    nc = await nats.connect(args.nats, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=quiet)
    try:
        job = args.job or secrets.token_hex(16)
        stream = await Stream(nc, args.owner, job, args.inbox).open()
        if not args.read_only:
            await publish(nc.jetstream(), args, job)
            print(f"job {job}", file=sys.stderr)
        tokens, cancelling = 0, None
        if args.cancel_after == 0:
            cancelling = asyncio.create_task(cancel(nc, args.owner, job, stream))
        async for event in stream.events():
            kind = event["type"]
            payload = event.get(kind, {})
            if kind in ("delta", "done"):
                tokens += len(payload.get("tokens") or [])
                print(payload.get("text", ""), end="", flush=True)
                if args.cancel_after and tokens >= args.cancel_after and kind == "delta" and not cancelling:
                    cancelling = asyncio.create_task(cancel(nc, args.owner, job, stream))
            if kind in TERMINAL:
                if cancelling:
                    cancelling.cancel()
                print()
                if kind == "failed":
                    where = f" ({payload['param']})" if payload.get("param") else ""
                    print(f"failed: {payload['code']}{where}: {payload['message']}", file=sys.stderr)
                elif kind == "expired":
                    print(f"expired: no answer within {payload['deadline_ms']} ms", file=sys.stderr)
                elif kind == "cancelled":
                    print("cancelled", file=sys.stderr)
                return TERMINAL[kind]
        return 1
    except Refused as e:
        print(f"refused: {e}", file=sys.stderr)
        return 6
    finally:
        await nc.drain()


def main() -> int:
    p = argparse.ArgumentParser(description="Publish a job to semantic over NATS and stream its answer.")
    p.add_argument("prompt", nargs="?", default="Hello!")
    p.add_argument("--nats", default="nats://127.0.0.1:4222")
    p.add_argument("--model", default="smollm2-135m-instruct")
    p.add_argument("--job-class", default="normal", choices=["interactive", "normal", "batch"])
    p.add_argument("--flow", type=int, default=0, choices=range(16), metavar="0-15",
                   help="one number for each of your agents: turns are taken between flows")
    p.add_argument("--owner", default="local")
    p.add_argument("--job", help="the job's id; drawn if not given")
    p.add_argument("--inbox", default="", help="have the events sent to this subject too, under _INBOX.")
    p.add_argument("--read-only", action="store_true", help="do not publish: read the job that --job names")
    p.add_argument("--max-tokens", type=int)
    p.add_argument("--temperature", type=float, default=0.0)
    p.add_argument("--deadline", type=float, help="seconds")
    p.add_argument("--cancel-after", type=int, help="cancel after this many tokens; 0 before the first")
    return asyncio.run(run(p.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
