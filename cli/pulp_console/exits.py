"""The exit codes that both commands use: those of sysexits.h, and a shell's codes for signals.

They are numbers instead of `os.EX_…`, because not every operating system defines those.
"""

from typing import Final

USAGE: Final = 64
DATA: Final = 65
NO_INPUT: Final = 66
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
IN_USE: Final = 73
UNWRITABLE: Final = 74
TEMPORARY: Final = 75
DENIED: Final = 77
CONFIG: Final = 78
INTERRUPTED: Final = 130
NO_READER: Final = 141
"""As after SIGPIPE: the reader of the output has gone, so the outcome of the command is unknown."""
