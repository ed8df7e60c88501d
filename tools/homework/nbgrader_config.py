"""nbgrader's settings for a course made by `deno task homework release 03 --nbgrader --to course`."""

import os

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    OverwriteCells,
    OverwriteKernelspec,
)


class RestoreCells(OverwriteCells):
    """Adds deleted checks back as TypeScript: nbgrader's own note begins with "#", which only Python reads as a comment."""

    def preprocess(self, nb, resources):
        # Of two cells with one id the first keeps empty metadata, on which nbgrader 0.9 would fail.
        for cell in nb.cells:
            if not cell.metadata.get("nbgrader"):
                cell.metadata.pop("nbgrader", None)
        return super().preprocess(nb, resources)

    def missing_cell_transform(self, source_cell, *args, **more):
        cell = super().missing_cell_transform(source_cell, *args, **more)
        if cell.cell_type == "code":
            cell.source = "// The check was missing and was added again.\n" + source_cell.source
        return cell


c = get_config()  # noqa: F821  (nbgrader defines it)

c.CourseDirectory.course_id = "nano-llm"

# What a solution becomes; nbgrader has no stub for TypeScript of its own.
c.ClearSolutions.code_stub = {
    "typescript": '// YOUR CODE HERE\nthrow new Error("not implemented");'
}

# Checks are restored where they were deleted or renamed, as `deno task homework grade` does.
c.OverwriteCells.add_missing_cells = True
c.RestoreCells.add_missing_cells = True
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    OverwriteKernelspec,
    RestoreCells,
    CheckCellMetadata,
]

# A chapter is run whole here, training included: small, on the processor, and each cell within ten minutes.
os.environ["NANO_LLM_PROFILE"] = "smoke"
os.environ["NANO_LLM_BACKEND"] = "wasm"
c.Execute.timeout = 600
c.Execute.interrupt_on_timeout = False
