"""The charts of the pages as files: SVG for a document, PNG for slides, CSV for a spreadsheet."""
