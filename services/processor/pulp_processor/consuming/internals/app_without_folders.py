"""A Faust app that writes nothing to disk."""

import faust


class AppWithoutFolders(faust.App):
    """Faust makes folders for its tables in the folder where the process starts; this app has no tables."""

    def _create_directories(self) -> None:
        pass
