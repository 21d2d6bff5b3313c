"""An image becomes the tensor that a network takes, or a refusal that says why not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit import PayloadTooLarge, UnprocessableInput
from handlerkit.images import ImageOptions, decode, fit, read_image, to_tensor
from handlerkit.options import OptionError, read_options
from pictures import encoded, plain
from PIL import Image
from sklearn.datasets import load_sample_images

GREY = ImageOptions(size=(8, 8), mode="L")
COLOUR = ImageOptions(size=(4, 6))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_format_gives_a_tensor(file_format: str) -> None:
    """Each format that is promised is read, in colour, height before width."""
    tensor = read_image(plain("RGB", (20, 10), (255, 255, 255), file_format), COLOUR)
    assert tensor.shape == (3, 4, 6)
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor, torch.ones(3, 4, 6), atol=0.02)


@pytest.mark.parametrize(
    ("mode", "color"), [("L", 255), ("1", 1), ("RGBA", (255, 0, 0, 0)), ("LA", (0, 0)), ("P", 255), ("CMYK", 0), ("I;16", 65535)]
)
def test_every_colour_mode_is_read(mode: str, color: Any) -> None:
    """Grey, palette, print colours and 16 bits are read, and what is transparent is white."""
    image = Image.new(mode, (12, 12), color)
    if mode == "P":
        image.putpalette([255] * 768)
    file = encoded(image, "TIFF" if mode == "CMYK" else "PNG") if mode != "CMYK" else encoded(image, "JPEG")
    assert torch.allclose(read_image(file, GREY), torch.ones(1, 8, 8), atol=0.02)


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    """A value in the middle of sixteen bits is the middle of eight; Pillow's own conversion makes it white."""
    assert torch.allclose(read_image(plain("I;16", (9, 9), 32768), GREY), torch.full((1, 8, 8), 0.5), atol=0.01)


def test_the_first_frame_of_an_animation_is_read() -> None:
    """An animated GIF is answered by what it shows first."""
    frames = [Image.new("L", (9, 9), shade) for shade in (255, 0, 0)]
    file = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert torch.allclose(read_image(file, GREY), torch.ones(1, 8, 8), atol=0.02)


def test_a_large_jpeg_is_decoded_small_and_gives_the_same() -> None:
    """What is decoded at a fraction of its size differs from the whole by less than one step in fifty."""
    rows, columns = np.mgrid[0:1600, 0:2000]
    waves = (127 + 60 * np.sin(rows / 90) + 60 * np.cos(columns / 130)).astype(np.uint8)
    file = encoded(Image.fromarray(waves).convert("RGB"), "JPEG", quality=95)
    options = ImageOptions(size=(224, 224), resize=256)
    whole = to_tensor(fit(Image.open(io.BytesIO(file)).convert("RGB"), options), options)
    assert decode(file, "RGB", 50, 256).size == (1000, 800)
    assert float((read_image(file, options) - whole).abs().max()) < 0.02


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "box"])
@pytest.mark.parametrize("size", [(640, 427), (1921, 1281), (2560, 1708), (4032, 3024)])
def test_photos_decoded_small_are_the_same_to_the_network(size: tuple[int, int], interpolation: Any) -> None:
    """Of real photos no value of the network's input differs by more than 0.05, and the mean by less than 0.004.

    Sizes that are no multiples of eight are among them: there the last pixels of a reduced image stand for fewer.
    """
    for pixels in load_sample_images().images:
        file = encoded(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), "JPEG", quality=90)
        for options in (ImageOptions((32, 32), interpolation=interpolation), ImageOptions((64, 64), "RGB", 72, interpolation)):
            whole = to_tensor(fit(decode(file, "RGB", 50), options), options)
            difference = (read_image(file, options) - whole).abs()
            assert float(difference.max()) < 0.05
            assert float(difference.mean()) < 0.004


def test_a_photo_of_a_camera_is_decoded_small() -> None:
    """Twelve megapixels for a network of 224 x 224: a quarter of each side is all that is decoded."""
    file = encoded(Image.new("RGB", (4032, 3024)), "JPEG")
    assert decode(file, "RGB", 50, 256).size == (1008, 756)
    assert decode(file, "RGB", 50).size == (4032, 3024)


def test_a_line_of_pixels_is_refused_before_it_is_resized() -> None:
    """Brought to 256 pixels on its shorter side it would have gigabytes; a small file must not cost them."""
    message = r"^The image has 1000000 x 1 pixels, resized 256000000 x 256; the limit is 50 megapixels\.$"
    with pytest.raises(PayloadTooLarge, match=message):
        read_image(plain("L", (1_000_000, 1), 0), ImageOptions(resize=256))


def test_sixteen_bits_may_have_a_transparent_value() -> None:
    """It is white, and the others keep their shades; Pillow's own conversion makes everything white."""
    image = Image.fromarray(np.full((9, 9), 32768, dtype=np.uint16))
    assert torch.allclose(read_image(encoded(image, transparency=7), GREY), torch.full((1, 8, 8), 0.5), atol=0.01)
    assert torch.equal(read_image(encoded(image, transparency=32768), GREY), torch.ones(1, 8, 8))


def test_a_photo_with_a_preview_beside_it_is_read() -> None:
    """Cameras write several pictures into one JPEG (MPO); the first is meant."""
    first, second = Image.new("RGB", (9, 9), "white"), Image.new("RGB", (9, 9), "black")
    assert torch.allclose(read_image(encoded(first, "MPO", save_all=True, append_images=[second]), GREY), torch.ones(1, 8, 8))


def test_values_are_normalised_by_channel() -> None:
    """(value - mean) / std, for each channel with its own."""
    options = ImageOptions(size=(1, 1), mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    assert read_image(plain("RGB", (3, 3), (255, 255, 255)), options).flatten().tolist() == [1.0, 1.0, 0.0]


def test_an_image_is_turned_as_its_camera_held_it() -> None:
    """The EXIF orientation is obeyed: a photo taken sideways stands upright."""
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))  # light on top
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    tensor = read_image(encoded(image, "JPEG", exif=exif), GREY)
    assert tensor[0, 0].mean() < 0.1
    assert tensor[0, 7].mean() > 0.9


def test_the_centre_is_cut_out_after_resizing() -> None:
    """With ``resize`` the shorter side is brought to it and the middle is kept, as torchvision's classifiers expect."""
    image = Image.new("L", (300, 100), 0)
    image.paste(255, (100, 0, 200, 100))
    assert torch.equal(
        read_image(encoded(image), ImageOptions(size=(4, 4), mode="L", resize=4, interpolation="box")), torch.ones(1, 4, 4)
    )


@pytest.mark.parametrize("ink", [0, 255], ids=["dark on light", "light on dark"])
def test_ink_becomes_light_whatever_the_paper(ink: int) -> None:
    """With ``ground: dark`` dark ink on white paper and chalk on a board give the same tensor."""
    image = Image.new("L", (40, 40), 255 - ink)
    image.paste(ink, (10, 10, 30, 30))
    tensor = read_image(encoded(image), ImageOptions(size=(8, 8), mode="L", interpolation="box", ground="dark"))
    assert tensor[0, 4, 4] == 1
    assert tensor[0, 0, 0] == 0


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.4", b"\0" * 1000])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    """Text, other files and mere signatures are refused in one sentence that lists the formats."""
    with pytest.raises(UnprocessableInput, match=r"Not an image that can be read; formats: PNG, JPEG, WEBP, BMP, GIF\."):
        read_image(content, GREY)


def test_a_truncated_image_is_refused() -> None:
    """Half a file says that it is damaged, not that the server is."""
    whole = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), "JPEG")
    with pytest.raises(UnprocessableInput, match="The JPEG image is damaged"):
        read_image(whole[: len(whole) // 2], GREY)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    """The limit is in the text; a small file of many pixels costs nothing."""
    with pytest.raises(PayloadTooLarge, match=r"2000 x 1000 pixels; the limit is 1 megapixels"):
        read_image(plain("1", (2000, 1000), 0), ImageOptions(max_megapixels=1))


def test_a_decompression_bomb_is_refused() -> None:
    """What Pillow itself calls a bomb is over our limit too."""
    with pytest.raises(PayloadTooLarge, match="limit is 50 megapixels"):
        read_image(plain("1", (20_000, 20_000), 0), ImageOptions())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sise": [8, 8]}, "unknown option 'sise': did you mean 'size'?"),
        ({"zzz": 1}, "unknown option 'zzz': known: size, mode"),
        ({"size": [8]}, r"size must be \[height, width\] in pixels, not \[8\]"),
        ({"size": [8, 0]}, "size must be"),
        ({"mode": "RGBA"}, "mode must be RGB or L, not 'RGBA'"),
        ({"mean": [0.1, 0.2]}, "mean must have 1 or 3 values for mode RGB, not 2"),
        ({"std": [0.0]}, "std must not contain 0"),
        ({"resize": 100}, r"resize \(100\) must be at least the larger side of size \(224\)"),
        ({"interpolation": "nearest"}, "interpolation must be bilinear, bicubic or box"),
        ({"ground": "light"}, "ground must be dark or left out"),
        ({"max_megapixels": 0}, "max_megapixels must be above 0"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, not 0"),
        ({"threshold": 2}, "threshold must be a number from 0 to 1, not 2"),
        ({"form": "old"}, "form must be marina or stock, not 'old'"),
    ],
)
def test_wrong_options_are_refused_at_load(given: dict[str, Any], message: str) -> None:
    """An option that could only fail at a request fails when the archive is loaded."""
    with pytest.raises(OptionError, match=message):
        read_options(ImageOptions, given)
