"""Verifying the read model: a fresh fold of the log, next to the live rows, is compared with them."""

from pulp_events.errors import ReadModelUnavailable
from pulp_runtime.startup import prepare

from pulp_processor.rebuilding.compare import Comparison
from pulp_processor.rebuilding.errors import RebuildCancelled, RebuildInterrupted
from pulp_processor.rebuilding.fill import Filler, fill
from pulp_processor.rebuilding.generations import active, drop_verifying, locked
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Report, report_nothing
from pulp_processor.rebuilding.rebuild import add, catch_up, check_begin, compare_with_active
from pulp_processor.settings import Settings


async def verify(settings: Settings, report: Report = report_nothing, filler: Filler | None = None) -> Comparison:
    """Compare the active generation with a fresh fold of the log, both exactly at the active one's positions.

    No processor has to run, and none is disturbed. The fold goes into a generation of its own, which can never become
    active and is dropped at the end; the next call drops it if this process is killed. Raises `RebuildInUse`,
    `OffsetOutOfRange` if the log does not begin at 0 any more, `ArchiveError`, `DependencyAway`, `TopicMismatch`,
    `ReadModelUnavailable`. Without a filler this process folds.
    """
    installed = await prepare(settings)
    await check_begin(settings, installed)
    try:
        async with locked(settings.postgres) as connection:
            await drop_verifying(connection)
            ends = (await active(connection)).positions
            generation = await add(connection, ends, "verifying")
            try:
                # No indexes: the fold and the comparison read whole tables.
                meter = PhaseMeter(report, Phase.FILLING, dict(ends), dict.fromkeys(ends, 0))
                await fill(settings, generation, ends, meter.moved, filler)
                await catch_up(connection, settings, generation, report)
                return await compare_with_active(connection, settings, generation, report=report)
            finally:
                await drop_verifying(connection)
    except (RebuildInterrupted, RebuildCancelled) as error:
        raise ReadModelUnavailable(
            f"the comparison was interrupted: {error.__cause__ or error}. Nothing is lost: start it again"
        ) from error
