"""Commands and options whose help is made from the declarations of settings."""

from collections.abc import Callable
from typing import Any, Final

import click
from pulp_events.declared_settings import REQUIRED, Setting

from pulp_deploy.process_settings import Sections
from pulp_deploy.settings_text import allowed_text, default_text

_WIDEST_NAME: Final = 36


class SettingsCommand(click.Command):
    """A command whose help ends with the settings that it reads, in sections."""

    def __init__(self, *arguments: Any, settings: Sections, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._settings = settings

    def setting(self, name: str) -> Setting:
        """The setting of this name that the command reads."""
        return next(each for section in self._settings() for each in section.settings if each.name == name)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in self._settings():
            with formatter.section(f"{section.title} (environment)"):
                formatter.write_dl([(each.name, _described(each)) for each in section.settings], col_max=_WIDEST_NAME)
        super().format_epilog(ctx, formatter)


class _SettingOption(click.Option):
    """An option that overrides a setting: its help is the setting's sentence, name and default."""

    def __init__(self, *arguments: Any, setting: str, **others: Any) -> None:
        super().__init__(*arguments, **{"help": setting, **others})
        self._setting = setting

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        assert isinstance(ctx.command, SettingsCommand)
        setting = ctx.command.setting(self._setting)
        default = default_text(setting)
        self.help = f"{setting.sentence.removesuffix('.')} ({setting.name}{f', {default}' if default else ''})."
        return super().get_help_record(ctx)


def setting_option(*names: str, setting: str, **others: Any) -> Callable[[Any], Any]:
    """An option of a `SettingsCommand` that overrides the setting of this name."""
    return click.option(*names, cls=_SettingOption, setting=setting, **others)


def _described(setting: Setting) -> str:
    allowed, default = allowed_text(setting), default_text(setting)
    parts = [setting.sentence, f"Allowed: {allowed}." if allowed else ""]
    parts.append(f"Default: {default}{f' {setting.unit}' if setting.unit else ''}." if default else "")
    parts.append("It has to be set." if setting.default is REQUIRED else "")
    return " ".join(filter(None, parts)).replace("`", "")
