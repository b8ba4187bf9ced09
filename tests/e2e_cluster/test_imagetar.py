"""Images are written without an image tool, as the image format says."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from e2e.cluster import imagetar


def write(directory: Path, content: bytes = b"program") -> Path:
    program = directory / "hello"
    program.write_bytes(content)
    archive = directory / "image.tar"
    imagetar.write_image(
        archive,
        reference="localhost/hello:dev",
        program=program,
        arguments=["serve"],
        user="65532:65532",
    )
    return archive


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as content:
        files = {entry.name: content.extractfile(entry) for entry in content}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_the_manifest_leads_to_config_and_layer(tmp_path: Path) -> None:
    files = read(write(tmp_path))
    [manifest] = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["localhost/hello:dev"]
    config = json.loads(files[manifest["Config"]])
    assert config["config"] == {"Entrypoint": ["/hello", "serve"], "User": "65532:65532"}
    digests = [f"sha256:{hashlib.sha256(files[name]).hexdigest()}" for name in manifest["Layers"]]
    assert config["rootfs"] == {"type": "layers", "diff_ids": digests}
    with tarfile.open(fileobj=io.BytesIO(files[manifest["Layers"][0]])) as layer:
        [entry] = layer.getmembers()
        assert (entry.name, entry.mode & 0o111, entry.uid) == ("hello", 0o111, 0)


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path).read_bytes()
    assert write(tmp_path).read_bytes() == first
    assert write(tmp_path, b"another").read_bytes() != first
