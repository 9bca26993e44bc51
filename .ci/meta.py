"""meta.py META.json [ARCHIVE]: whether META.json keeps to version 1.0.0 of the PGXN Meta Spec, and whether the archive is one that
PGXN takes: a folder with the distribution's name and version, META.json in it, and the files that it names. Says each thing that is
wrong. The rules are tried on broken documents first."""

import copy
import json
import re
import sys
import zipfile

REQUIRED = ["abstract", "license", "maintainer", "meta-spec", "name", "provides", "version"]
OPTIONAL = ["description", "generated_by", "no_index", "prereqs", "release_status", "resources", "tags"]
LICENSES = set(
    "agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 "
    "mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown".split()
)
PHASES = ["configure", "build", "test", "runtime", "develop"]
RELATIONSHIPS = ["requires", "recommends", "suggests", "conflicts"]
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
URL = re.compile(r"[a-z][a-z0-9+.-]*:\S+")


def is_text(value):
    return isinstance(value, str) and value.strip() != ""


def is_term(value):
    return is_text(value) and len(value) >= 2 and not re.search(r"[\s/\\\x00-\x1f]", value)


def is_version(value):
    return isinstance(value, str) and SEMVER.fullmatch(value) is not None


def is_range(value):
    if value in (0, "0"):
        return True
    if not is_text(value):
        return False
    return all(is_version(re.sub(r"^(<=|>=|==|!=|<|>)\s*", "", part.strip())) for part in value.split(","))


def is_path(value):
    return is_text(value) and not value.startswith("/") and ".." not in value.split("/") and "\\" not in value


def some_texts(value):
    return is_text(value) or (isinstance(value, list) and value != [] and all(map(is_text, value)))


def wrongs(meta):
    """Each thing in which a document does not keep to the specification."""
    if not isinstance(meta, dict):
        return ["it is no object"]
    wrong = [f"{key} is missing" for key in REQUIRED if key not in meta]
    wrong += [f"{key} is no key of the specification" for key in meta if key not in REQUIRED + OPTIONAL and not key.lower().startswith("x_")]

    def expect(condition, what):
        if not condition:
            wrong.append(what)

    def known(mapping, where, keys):
        if not isinstance(mapping, dict):
            wrong.append(f"{where} is no object")
            return False
        for key in mapping:
            expect(key in keys or key.lower().startswith("x_"), f"{where}.{key} is no key of the specification")
        return True

    for key in ("abstract", "description", "generated_by"):
        expect(key not in meta or is_text(meta[key]), f"{key} is no text")
    expect("name" not in meta or is_term(meta["name"]), "name is no term")
    expect("version" not in meta or is_version(meta["version"]), "version is no semantic version")
    expect("maintainer" not in meta or some_texts(meta["maintainer"]), "maintainer is neither a text nor a list of texts")
    if "license" in meta:
        license = meta["license"]
        if isinstance(license, dict):
            expect(license and all(is_text(k) and isinstance(v, str) and URL.fullmatch(v) for k, v in license.items()), "license names no URL")
        else:
            names = license if isinstance(license, list) else [license]
            expect(names and all(isinstance(name, str) and name in LICENSES for name in names), "license is none of the specification's")
    if "meta-spec" in meta and known(meta["meta-spec"], "meta-spec", ["version", "url"]):
        expect(re.fullmatch(r"1\.0\.\d+", str(meta["meta-spec"].get("version"))), "meta-spec.version is not 1.0.x")
        expect(URL.fullmatch(str(meta["meta-spec"].get("url", "https:x"))), "meta-spec.url is no URL")
    if "provides" in meta:
        provides = meta["provides"]
        expect(isinstance(provides, dict) and provides != {}, "provides names nothing")
        for name, what in provides.items() if isinstance(provides, dict) else ():
            where = f"provides.{name}"
            expect(is_term(name), f"{where} is no term")
            if known(what, where, ["abstract", "docfile", "file", "version"]):
                expect(is_path(what.get("file")), f"{where}.file is no path")
                # What is not is no extension to `pgxn load`, which then does nothing.
                expect(str(what.get("file")).endswith(".sql"), f"{where}.file is no script")
                expect(is_version(what.get("version")), f"{where}.version is no semantic version")
                expect("docfile" not in what or is_path(what["docfile"]), f"{where}.docfile is no path")
                expect("abstract" not in what or is_text(what["abstract"]), f"{where}.abstract is no text")
    if "prereqs" in meta and known(meta["prereqs"], "prereqs", PHASES):
        for phase, relationships in meta["prereqs"].items():
            if known(relationships, f"prereqs.{phase}", RELATIONSHIPS):
                for relationship, needed in relationships.items():
                    where = f"prereqs.{phase}.{relationship}"
                    expect(isinstance(needed, dict), f"{where} is no object")
                    for name, version in needed.items() if isinstance(needed, dict) else ():
                        expect(is_term(name) and is_range(version), f"{where}.{name} is no range of versions")
    expect(meta.get("release_status", "stable") in ("stable", "testing", "unstable"), "release_status is unknown")
    if "no_index" in meta and known(meta["no_index"], "no_index", ["file", "directory"]):
        expect(all(some_texts(paths) for paths in meta["no_index"].values()), "no_index names no paths")
    if "resources" in meta and known(meta["resources"], "resources", ["homepage", "bugtracker", "repository"]):
        resources = meta["resources"]
        expect(URL.fullmatch(resources.get("homepage", "https:x")), "resources.homepage is no URL")
        if "bugtracker" in resources and known(resources["bugtracker"], "resources.bugtracker", ["web", "mailto"]):
            expect(URL.fullmatch(resources["bugtracker"].get("web", "https:x")), "resources.bugtracker.web is no URL")
        if "repository" in resources and known(resources["repository"], "resources.repository", ["web", "url", "type"]):
            for key in ("web", "url"):
                expect(URL.fullmatch(resources["repository"].get(key, "https:x")), f"resources.repository.{key} is no URL")
    if "tags" in meta:
        tags = meta["tags"]
        valid = isinstance(tags, list) and tags and all(is_text(t) and len(t) <= 256 and not re.search(r"[/\\\x00-\x1f]", t) for t in tags)
        expect(valid, "tags are not a list of terms of at most 256 characters")
    return wrong


def wrongs_of_archive(meta, path):
    """Each thing for which PGXN would refuse the archive, or install something else than META.json says."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        top = f"{meta['name']}-{meta['version']}/"
        wrong = [f"{name} is not in {top}" for name in names if not name.startswith(top)]
        if top + "META.json" not in names:
            return wrong + ["META.json is not in the archive"]
        if json.loads(archive.read(top + "META.json")) != meta:
            wrong.append("META.json is another one in the archive")
        for what in meta["provides"].values():
            wrong += [f"{what[key]} is not in the archive" for key in ("file", "docfile") if key in what and top + what[key] not in names]
        return wrong


def try_rules(meta):
    """A rule that lets everything pass would find nothing here."""

    def broken(change):
        document = copy.deepcopy(meta)
        change(document)
        return wrongs(document)

    changes = [
        *(lambda d, key=key: d.pop(key) for key in REQUIRED),
        lambda d: d.update(version="1.0"),
        lambda d: d.update(name="pg tenancy"),
        lambda d: d.update(license="PostgreSQL"),
        lambda d: d.update(maintainer=[]),
        lambda d: d.update(release_status="final"),
        lambda d: d.update(tags="tenant"),
        lambda d: d.update(homepage="https://localhost"),
        lambda d: d["meta-spec"].update(version="2"),
        lambda d: d["provides"]["pg_tenancy"].pop("version"),
        lambda d: d["provides"]["pg_tenancy"].update(file="/etc/passwd.sql"),
        lambda d: d["provides"]["pg_tenancy"].update(file="pg_tenancy.control"),
        lambda d: d["prereqs"]["runtime"]["requires"].update(PostgreSQL=">= fifteen"),
        lambda d: d["prereqs"].update(install={}),
    ]
    passed = [number for number, change in enumerate(changes) if not broken(change)]
    assert not passed, f"broken documents pass: {passed}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        meta = json.load(file)
    wrong = wrongs(meta)
    if not wrong:
        try_rules(meta)
        if len(sys.argv) > 2:
            wrong = wrongs_of_archive(meta, sys.argv[2])
    for what in wrong:
        print(f"META.json: {what}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print("META.json: as PGXN wants it" + (", and the archive" if len(sys.argv) > 2 else ""))


main()
