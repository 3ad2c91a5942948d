"""The user guide's page of a cancelled sync, which the demonstration's second step must show."""

import re
from typing import Final

REPOSITORY: Final = "ff7-e6"
_TASK_ID: Final = "e0e0a250-eded-468f-9d97-0419a00b130f"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

CANCELLED_SYNC: Final = f"""\
+----------------------------------------------------------------------+
                              Task Details
+----------------------------------------------------------------------+

Operations:   sync
Resources:    {REPOSITORY} (repository)
State:        Cancelled
Start Time:   2012-12-09T04:28:10Z
Finish Time:  2012-12-09T04:29:09Z
Result:       N/A
Task Id:      {_TASK_ID}
Progress:
  Yum Importer:
    Comps:
      State: NOT_STARTED
    Content:
      Details:
        Delta Rpm:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
        File:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
        Rpm:
          Items Left:  6
          Items Total: 37
          Num Error:   0
          Num Success: 31
          Size Left:   112429996
          Size Total:  149958122
        Tree File:
          Items Left:  0
          Items Total: 0
          Num Error:   0
          Num Success: 0
          Size Left:   0
          Size Total:  0
      Error Details:
      Items Left:    0
      Items Total:   37
      Num Error:     0
      Num Success:   31
      Size Left:     112429996
      Size Total:    149958122
      State:         CANCELED
    Errata:
      State: NOT_STARTED
    Metadata:
      State: FINISHED
"""


def differences(page: str, task_id: str) -> list[str]:
    """The lines in which a page differs from the guide's; times and ids do not count."""
    expected = _TIME.sub("TIME", CANCELLED_SYNC.replace(_TASK_ID, task_id)).splitlines()
    shown = _TIME.sub("TIME", page).rstrip("\n").splitlines()
    found = [
        f"{there!r} instead of {wanted!r}" for there, wanted in zip(shown, expected, strict=False) if there != wanted
    ]
    if len(shown) != len(expected):
        found.append(f"{len(shown)} lines instead of {len(expected)}")
    return found
