"""Errors explain themselves: what happened, where, and what to do."""

from beacon.errors import DocumentError, InputError


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = InputError("unknown region 'uss'", where="regions[0]", todo="did you mean 'us'?")
    assert str(error) == "unknown region 'uss'\n  where: regions[0]\n  to do: did you mean 'us'?"
    assert str(InputError("no fleet")) == "no fleet"


def test_a_document_names_itself_and_each_of_its_faults() -> None:
    faults = [InputError("must not be empty", where="models"), InputError("nested too deeply")]
    assert str(DocumentError("spec.yaml", faults)) == (
        "spec.yaml has 2 faults\n  models: must not be empty\n  nested too deeply"
    )
