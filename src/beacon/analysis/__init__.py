"""What the recorded answers show: pure functions over results, no database, no network.

`beacon.analysis.report.analyse(observations, settings) -> Report` is the whole of it; `Report.to_document()`
is plain JSON. `beacon.analysis.power` says before a run what it will be able to show. The method is written
down in docs/method.md, its version in `beacon.analysis.settings.METHOD`.

This package imports nothing on its own: light commands can name it without loading NumPy.
"""
