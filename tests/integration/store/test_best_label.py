"""Of several labels of an answer one counts: a person's, then an import's, a judge's, the machine's."""

from __future__ import annotations

from beacon.store import executions, labelling
from beacon.store.executions import Filter
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
    assert not any(row["disputed"] for row in rows)
    one = await database.read(executions.get, scene.works[4].id)
    assert (one["source"], one["label"]) == ("person:ann", "person")


async def test_only_sources_of_the_standing_that_counts_can_dispute_an_answer(database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:4])
    people, judges, overruled, unlabelled = (work.id for work in scene.works[:4])

    def said(execution_id: str, **by: str) -> list[Label]:
        return [Label(execution_id, who.replace("_", ":"), label, None, None, "", 1.0) for who, label in by.items()]

    given = [
        *said(people, beacon="refusal", person_ann="evasive", person_bo="refusal"),
        *said(judges, beacon="refusal", judge_a="evasive", judge_b="refusal"),
        *said(overruled, beacon="refusal", judge_a="evasive", judge_b="refusal", person_ann="substantive"),
    ]
    await database.write(labelling.write, given)
    rows = await database.read(executions.page, scene.job_id, limit=4)
    assert {row["id"]: bool(row["disputed"]) for row in rows} == {
        people: True,
        judges: True,
        overruled: False,
        unlabelled: False,
    }
    disputed = await database.read(labelling.disputes, scene.job_id)
    assert {found.execution_id: found.said for found in disputed} == {
        people: {"beacon": "refusal", "person:ann": "evasive", "person:bo": "refusal"},
        judges: {"beacon": "refusal", "judge:a": "evasive", "judge:b": "refusal"},
    }


async def test_disputes_come_page_by_page_in_the_order_of_dispatch(database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    ids = [work.id for work in scene.works]
    said = [(execution_id, who, label) for execution_id in ids for who, label in (("ann", "refusal"), ("bo", "empty"))]
    await database.write(
        labelling.write, [Label(e, f"person:{who}", told, None, None, "", 1.0) for e, who, told in said]
    )
    pages, after = [], -1
    while some := await database.read(labelling.disputes, scene.job_id, after=after, limit=5):
        pages.append([dispute.execution_id for dispute in some])
        after = some[-1].ordinal
    assert [len(page) for page in pages] == [5, 5, 5, 1]
    assert [execution_id for page in pages for execution_id in page] == ids
    eu = Filter(regions=["eu"])
    assert {d.region for d in await database.read(labelling.disputes, scene.job_id, chosen=eu)} == {"eu"}


async def test_the_state_of_labels_changes_with_each_that_is_given(database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:2])
    seen = [await database.read(labelling.state, scene.job_id)]
    for label, at in (("refusal", 1.0), ("evasive", 2.0)):
        await database.write(labelling.write, [Label(scene.works[0].id, "person:ann", label, None, None, "", at)])
        seen.append(await database.read(labelling.state, scene.job_id))
    assert seen == [(0, None), (1, 1.0), (1, 2.0)]


async def test_what_is_in_doubt_comes_first_and_nobody_is_asked_twice(database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:4])
    sure, unsure, ruled, disputed = (work.id for work in scene.works[:4])
    given = [
        Label(sure, labelling.MACHINE, "refusal", 0.9, None, "", 1.0),
        Label(unsure, labelling.MACHINE, "refusal", 0.4, None, "", 1.0),
        Label(ruled, labelling.MACHINE, "empty", 1.0, None, "", 1.0),
        Label(disputed, labelling.MACHINE, "empty", 1.0, None, "", 1.0),
        Label(disputed, "person:bo", "refusal", None, None, "", 1.0),
        Label(disputed, "person:cy", "evasive", None, None, "", 1.0),
    ]
    await database.write(labelling.write, given)
    found = await database.read(labelling.doubtful, scene.job_id, "person:ann", 10)
    assert [answer.execution_id for answer in found] == [disputed, unsure, sure]
    await database.write(labelling.write, [Label(unsure, "person:ann", "evasive", None, None, "", 2.0)])
    found = await database.read(labelling.doubtful, scene.job_id, "person:ann", 10)
    assert [answer.execution_id for answer in found] == [disputed, sure]
    assert ("person:ann", "evasive", 1) in await database.read(labelling.counts, scene.job_id)
