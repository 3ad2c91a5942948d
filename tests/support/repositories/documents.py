"""The documents of a repository, as text: primary, filelists, other, updateinfo, comps."""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from tests.support.repositories.model import BUILT_AT, Advisory, Dependency, Group, Rpm

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_COMMON = "http://linux.duke.edu/metadata"


def primary(rpms: Sequence[Rpm]) -> bytes:
    """primary.xml."""
    body = "".join(map(_primary_package, rpms))
    return (
        f'{_HEAD}<metadata xmlns="{_COMMON}/common" xmlns:rpm="{_COMMON}/rpm" packages="{len(rpms)}">\n'
        f"{body}</metadata>\n"
    ).encode()


def filelists(rpms: Sequence[Rpm]) -> bytes:
    """filelists.xml."""
    body = "".join(f"{_opened(rpm)}{_files(rpm)}</package>\n" for rpm in rpms)
    return f'{_HEAD}<filelists xmlns="{_COMMON}/filelists" packages="{len(rpms)}">\n{body}</filelists>\n'.encode()


def other(rpms: Sequence[Rpm]) -> bytes:
    """other.xml."""
    body = "".join(f"{_opened(rpm)}{_changelogs(rpm)}</package>\n" for rpm in rpms)
    return f'{_HEAD}<otherdata xmlns="{_COMMON}/other" packages="{len(rpms)}">\n{body}</otherdata>\n'.encode()


def updateinfo(advisories: Sequence[Advisory]) -> bytes:
    """updateinfo.xml."""
    return f"{_HEAD}<updates>\n{''.join(map(_advisory, advisories))}</updates>\n".encode()


def comps(groups: Sequence[Group]) -> bytes:
    """comps.xml, with a category and an environment that name all of its groups."""
    ids = "".join(f"<groupid>{escape(group.id)}</groupid>" for group in groups)
    return (
        f"{_HEAD}<!DOCTYPE comps PUBLIC '-//Red Hat, Inc.//DTD Comps info//EN' 'comps.dtd'>\n<comps>\n"
        f"{''.join(map(_group, groups))}"
        "<category><id>all</id><name>All</name><description>all of them</description>"
        f"<display_order>1</display_order><grouplist>{ids}</grouplist></category>\n"
        "<environment><id>whole</id><name>Whole</name><description>all of them</description>"
        f"<display_order>1</display_order><grouplist>{ids}</grouplist><optionlist/></environment>\n"
        "</comps>\n"
    ).encode()


def _primary_package(rpm: Rpm) -> str:
    base = "" if rpm.base_url is None else f" xml:base={quoteattr(rpm.base_url)}"
    provides = Dependency(rpm.name, "EQ", rpm.version, rpm.release, rpm.epoch)
    shown = [path for path in rpm.paths if path.startswith("/etc/") or "bin/" in path]
    return (
        f'<package type="rpm"><name>{escape(rpm.name)}</name><arch>{rpm.arch}</arch>{_version(rpm)}\n'
        f'<checksum type="{rpm.checksum_type}" pkgid="YES">{rpm.checksum}</checksum>\n'
        f"<summary>{escape(rpm.summary)}</summary><description>{escape(rpm.description)}</description>\n"
        "<packager/><url>http://example.org/</url>\n"
        f'<time file="{BUILT_AT}" build="{BUILT_AT}"/>\n'
        f'<size package="{len(rpm.content)}" installed="500" archive="800"/>\n'
        f"<location{base} href={quoteattr(rpm.location)}/>\n"
        "<format><rpm:license>Public Domain</rpm:license><rpm:vendor/><rpm:group>Unspecified</rpm:group>"
        "<rpm:buildhost>localhost</rpm:buildhost>"
        f"<rpm:sourcerpm>{escape(rpm.name)}-{rpm.version}-{rpm.release}.src.rpm</rpm:sourcerpm>"
        '<rpm:header-range start="280" end="2000"/>\n'
        f"<rpm:provides>{_dependency(provides)}</rpm:provides>\n"
        f"<rpm:requires>{''.join(map(_dependency, rpm.requires))}</rpm:requires>\n"
        f"{''.join(f'<file>{escape(path)}</file>' for path in shown)}</format></package>\n"
    )


def _version(rpm: Rpm) -> str:
    return f'<version epoch="{rpm.epoch}" ver="{rpm.version}" rel="{rpm.release}"/>'


def _dependency(given: Dependency) -> str:
    if given.version is None:
        return f"<rpm:entry name={quoteattr(given.name)}/>"
    release = "" if given.release is None else f' rel="{given.release}"'
    return (
        f'<rpm:entry name={quoteattr(given.name)} flags="{given.flags}" epoch="{given.epoch}"'
        f' ver="{given.version}"{release}/>'
    )


def _opened(rpm: Rpm) -> str:
    return f'<package pkgid="{rpm.checksum}" name={quoteattr(rpm.name)} arch="{rpm.arch}">{_version(rpm)}'


def _files(rpm: Rpm) -> str:
    kinds = [("", rpm.paths), (' type="dir"', rpm.folders), (' type="ghost"', rpm.ghosts)]
    return "".join(f"<file{kind}>{escape(path)}</file>" for kind, paths in kinds for path in paths)


def _changelogs(rpm: Rpm) -> str:
    return "".join(
        f'<changelog author={quoteattr(entry.author)} date="{entry.date}">{escape(entry.text)}</changelog>'
        for entry in rpm.changelogs
    )


def _advisory(given: Advisory) -> str:
    packages = "".join(
        f'<package name={quoteattr(rpm.name)} version="{rpm.version}" release="{rpm.release}" epoch="{rpm.epoch}"'
        f' arch="{rpm.arch}" src="{escape(rpm.name)}-{rpm.version}-{rpm.release}.src.rpm">'
        f"<filename>{escape(rpm.file_name)}</filename></package>"
        for rpm in given.packages
    )
    return (
        f'<update from="security@example.org" status="final" type="{given.type}" version="1"><id>{escape(given.id)}</id>'
        f"<title>{escape(given.title)}</title><severity>{given.severity}</severity>"
        '<issued date="2020-01-01 10:00:00"/><updated date="2020-01-02 10:00:00"/><rights>r</rights>'
        "<release>1</release><pushcount>1</pushcount><summary>s</summary>"
        f"<description>{escape(given.description)}</description><solution>s</solution>"
        '<references><reference href="https://bugs.example.org/1" id="1" title="one" type="bugzilla"/></references>'
        f'<pkglist><collection short="c"><name>c</name>{packages}</collection></pkglist></update>\n'
    )


def _group(given: Group) -> str:
    packages = "".join(f'<packagereq type="mandatory">{escape(name)}</packagereq>' for name in given.packages)
    return (
        f"<group><id>{escape(given.id)}</id><name>{escape(given.name)}</name>"
        '<name xml:lang="de">Eine Gruppe</name><description>d</description><default>true</default>'
        "<uservisible>true</uservisible><display_order>1</display_order>"
        f"<packagelist>{packages}</packagelist></group>\n"
    )
