"""Prints every event of a bridge, one JSON object a line, up to the first of a kind: read_events.py URL TOKEN KIND."""
import asyncio
import json
import sys

import websockets


async def main(url: str, token: str, last: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, extra_headers=headers, max_size=None) as socket:
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "Stream.subscribe", "params": {"after": 0}}))
        async for message in socket:
            event = json.loads(message).get("params", {}).get("event")
            if event is None:
                continue
            print(json.dumps(event), flush=True)
            if event["kind"] == last:
                return


asyncio.run(main(*sys.argv[1:]))
