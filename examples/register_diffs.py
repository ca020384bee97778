#!/usr/bin/env python3
"""Prints every change of a register as it happens: register_diffs.py [--url URL] [--token-file FILE] [--after N]

Needs the package websockets (Debian: python3-websockets). Goes on after the last event it saw when the connection is lost.
"""
import argparse
import asyncio
import json
import os
import random
import sys
from pathlib import Path

import websockets

DATA = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "ebscope"


def printable(text):
    """Names come from the guest's side: what a terminal would act on is shown, not sent."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(event):
    for register in event["data"]["registers"]:
        fields = ", ".join(f"{f['name']} {f['before']} → {f['after']} ({f['meaning']})" for f in register["fields"])
        change = f"{register['before']} → {register['after']}"
        line = f"{event['seq']} {event['target']} cpu{register['cpu']} {register['name']}: {change}  {fields}"
        print(printable(line.rstrip()), flush=True)


async def follow(socket, after):
    """Yields numbers and events behind `after` (None: those from now on), until the connection is lost."""
    subscription = {"jsonrpc": "2.0", "id": 1, "method": "Stream.subscribe"}
    params, lag = {"filter": {"kinds": ["registers.changed"]}}, None
    await socket.send(json.dumps({**subscription, "params": params if after is None else {**params, "after": after}}))
    async for text in socket:
        message = json.loads(text)
        if "error" in message:
            sys.exit(printable(f"{message['error']['message']} {message['error']['data']['next']}"))
        if "result" in message:
            # Where "now" is, should nothing come before the connection is lost.
            after = message["result"]["head"] if after is None else after
            yield after, None
        elif message["method"] == "Stream.event":
            after = message["params"]["event"]["seq"]
            yield after, message["params"]["event"]
        elif message["method"] == "Stream.lagged":
            # This program was too slow. The log has what was left out, unless it says the same again.
            gone, lag = lag == message["params"], message["params"]
            if gone:
                print(f"events {lag['from']} to {lag['to']} cannot be had any more", file=sys.stderr)
            after = lag["to"] if gone else lag["from"] - 1
            await socket.send(json.dumps({**subscription, "params": {**params, "after": after}}))


async def main(options):
    after, pause = options.after, 0.1
    while True:
        try:
            # Read each time: a bridge that was started again has another one.
            token = (options.token or Path(options.token_file).read_text()).strip()
            protocols = ["ebscope.v1", f"ebscope.token.{token}"]
            async with websockets.connect(options.url, subprotocols=protocols, max_size=64 << 20) as socket:
                async for after, event in follow(socket, after):
                    pause = 0.1
                    if event is not None:
                        show(event)
            print("the bridge closed the connection; connecting again", file=sys.stderr)
        except websockets.InvalidHandshake as error:
            sys.exit(f"the bridge does not let this program in: {error}")
        except (OSError, asyncio.TimeoutError, websockets.ConnectionClosed) as error:
            print(f"{error}; connecting again", file=sys.stderr)
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, 10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("EBSCOPE_URL", "ws://127.0.0.1:8624/rpc"))
    parser.add_argument("--token-file", default=DATA / "read.token")
    parser.add_argument("--after", type=int, help="a sequence number; 0: all events that are kept")
    parser.set_defaults(token=os.environ.get("EBSCOPE_TOKEN"))
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        pass
