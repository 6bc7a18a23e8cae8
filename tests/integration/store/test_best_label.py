"""Of several labels of an answer one counts: a person's, then an import's, a judge's, the machine's."""

from __future__ import annotations

from beacon.store import executions, labelling
from beacon.store.labelling import Label
from tests.integration.web.scene import Scene


async def test_the_label_that_counts_goes_by_its_source(database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:5])
    sources = [labelling.MACHINE, "judge:b", "judge:a", "import:old", "person:ann"]
    for work, most in zip(scene.works, range(1, 6), strict=False):
        given = [Label(work.id, source, source.partition(":")[0], None, None, "", 1.0) for source in sources[:most]]
        await database.write(labelling.write, given)
    rows = await database.read(executions.page, scene.job_id, limit=6)
    best = [labelling.MACHINE, "judge:b", "judge:a", "import:old", "person:ann", None]
    assert [row["source"] for row in rows] == best
    assert [row["label"] for row in rows] == [labelling.MACHINE, "judge", "judge", "import", "person", None]
    one = await database.read(executions.get, scene.works[4].id)
    assert (one["source"], one["label"]) == ("person:ann", "person")
