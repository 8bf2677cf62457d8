from __future__ import annotations

import asyncio
import itertools

from inference_server.access.rounds import Rounds


def test_in_each_round_of_the_loop_one_begins_whoever_is_gone() -> None:
    async def run() -> list[int]:
        rounds, now, began = Rounds(), [0], list[int]()

        def count() -> None:
            now[0] += 1
            if now[0] < 100:
                asyncio.get_running_loop().call_soon(count)

        async def work() -> None:
            await rounds.next()
            began.append(now[0])

        tasks = [asyncio.create_task(work()) for _ in range(10)]
        gone = asyncio.create_task(work())
        last = asyncio.create_task(work())
        count()
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([*tasks, last])
        await asyncio.sleep(0.01)
        await asyncio.wait_for(rounds.next(), 1)  # it has come to rest
        return began

    began = asyncio.run(run())
    assert len(began) == 11 and all(later > earlier for earlier, later in itertools.pairwise(began))
