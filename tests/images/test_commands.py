"""cove image, as its user sees it."""

import json
from pathlib import Path

from tests.cli.cove import invoke


def test_list_of_an_empty_directory_says_how_to_begin(tmp_path: Path) -> None:
    result = invoke("image", "list", "--image-dir", str(tmp_path / "none"))
    assert result.exit_code == 0
    assert "No images" in result.output
    assert "cove image build" in result.output


def test_show_prints_the_manifest(image: Path) -> None:
    facts = json.loads(invoke("image", "show", image.parent.name, "--image-dir", str(image.parents[1])).stdout)
    assert facts["id"] == image.parent.name
    assert facts["rootfs"] == str(image)
    assert facts["debian_packages"]


def test_list_shows_the_built_image(image: Path) -> None:
    result = invoke("image", "list", "--image-dir", str(image.parents[1]))
    assert result.exit_code == 0
    assert image.parent.name in result.output


def test_build_takes_the_image_that_is_there(image: Path) -> None:
    result = invoke("image", "build", "--image-dir", str(image.parents[1]))
    assert result.exit_code == 0, result.output
    assert f"Image {image.parent.name} is ready" in result.output


def test_an_unknown_image_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for arguments in (["show", "nonsense"], ["test", "--image", "nonsense"]):
        result = invoke("image", *arguments, "--image-dir", str(tmp_path))
        assert result.exit_code == 3
        assert "cove image list" in result.output


def test_an_unknown_check_is_an_error_that_names_them(image: Path) -> None:
    result = invoke("image", "test", "nonsense", "--image-dir", str(image.parents[1]))
    assert result.exit_code == 3
    assert "pandas" in result.output


def test_an_archive_that_is_none_is_an_error(tmp_path: Path) -> None:
    result = invoke("image", "import", str(tmp_path / "no.tar"), "--name", "x", "--image-dir", str(tmp_path / "images"))
    assert result.exit_code == 3
    assert "no.tar is not a file" in result.output
