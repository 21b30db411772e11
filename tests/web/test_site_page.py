"""A model's web page in a real browser: the keypoints on it are those of Python, whatever the picture comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

import posewright
from helpers import chromium
from helpers.site import SitePage, runtime_package, serving, write_y4m
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.media.pictures import read_picture
from posewright.media.sinks import h264_video
from posewright.media.sources import video_frames
from posewright.poses import Poses
from posewright.runtime import Predictor
from posewright.runtime.names import find_model
from posewright.synthetic.video import hand_clip
from posewright.web.site import write_site

CLOSE = 0.5
"""Pixels."""
PLACES = [(60.0, 40.0), (100.0, 80.0), (140.0, 60.0)]
BARE = ("--disable-gpu",)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    chromium.find_chromium()
    chromium.playwright()
    return runtime_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def spots(tmp_path_factory, package) -> Path:
    """The page of the model of three spots, which takes two crops at a time, below a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("site of") / "my pages"
    write_site(spot_model(folder / "spots.onnx", batch=2), folder / "spots", runtime=package)
    return folder / "spots"


@pytest.fixture(scope="module")
def finder(spots) -> Predictor:
    return posewright.load(spots / "model.onnx", "cpu", 1)


@pytest.fixture(scope="module")
def hands(tmp_path_factory, package) -> Path:
    folder = tmp_path_factory.mktemp("hands") / "site"
    write_site(find_model("hand"), folder, runtime=package)
    return folder


@pytest.fixture(scope="module")
def opened(browser, spots) -> Iterator[SitePage]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    with serving(spots) as address:
        yield SitePage(context, address)
        context.close()


@pytest.fixture
def page(opened) -> Iterator[SitePage]:
    """The page of the spots, as if it had just been opened; which takes a second, and most tests share one therefore."""
    opened.do(
        "posewright.set({ filter: true, follow: true, names: false, threshold: 0.2 }); document.activeElement.blur()"
    )
    yield opened
    opened.do("posewright.stop()")
    opened.clean()


def off(found: dict, want: Poses, but: int = 0) -> float:
    """Largest distance in pixels between a page's keypoints, as the model saw them, and Python's, ``but`` so many left out."""
    assert (found["width"], found["height"]) == (want.width, want.height)
    points = np.array(found["measured"])
    np.testing.assert_allclose(points[:, 2], want.score[0], atol=0.02)
    assert abs(found["presence"] - want.presence[0]) < 0.02
    return float(np.sort(np.abs(points[:, :2] - want.xy[0]).max(1))[-1 - but])


def looked_at(page: SitePage, model: Predictor, but: int = 0) -> float:
    """How far the keypoints of the frame that a page shows are from what Python finds in the same pixels, ``but`` so many."""
    found = page.do("posewright.last")
    x0, y0, x1, y1 = found["box"]
    whole = (x0, y0, x1, y1) == (-0.5, -0.5, found["width"] - 0.5, found["height"] - 0.5)
    return off(found, model(page.frame(), None if whole else [found["box"]]), but)


def write(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[..., [0] if rgb.shape[2] == 1 else [2, 1, 0, 3][: rgb.shape[2]]])
    return path


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_pictures_of_many_kinds(page, finder, tmp_path):
    small = picture_with_spots(224, 144, PLACES, 7)
    large = picture_with_spots(4000, 3000, [(900, 2300), (2200, 700), (3400.5, 1800)], 110)
    odd = picture_with_spots(1301, 977, [(300, 200), (650.25, 500), (1200, 900)], 40)
    clear = np.dstack([small, np.where(np.indices(small.shape[:2])[0] < 100, 255, 60).astype(np.uint8)])
    data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    (tmp_path / "turned.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]
    for path in (
        write(tmp_path / "small.png", small),
        write(tmp_path / "large.jpg", large),
        write(tmp_path / "odd.png", odd),
        write(tmp_path / "clear.png", clear),
        write(tmp_path / "grey.png", grey),
        tmp_path / "turned.jpg",
        write(tmp_path / "odd.webp", odd),
    ):
        found = page.open(path)
        want = finder(path)
        assert off(found, want) < CLOSE, path
        # Its pixels are those of Python as well, up to what two decoders differ by.
        if want.width < 1000:
            assert np.abs(page.frame().astype(int) - read_picture(path)).mean() < 1.0, path
    assert page.open(tmp_path / "small.png")["box"] == [-0.5, -0.5, 223.5, 143.5]


def test_what_is_no_picture(page, tmp_path):
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "cut.jpg").write_bytes(cv2.imencode(".jpg", picture_with_spots(60, 40, PLACES, 7))[1].tobytes()[:60])
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    for name, words in (
        ("cut.jpg", "cut.jpg cannot be read as a picture"),
        ("cut.mp4", "cut.mp4 cannot be played"),
        ("notes.txt", "notes.txt cannot be"),
    ):
        page.page.set_input_files("#file", tmp_path / name)
        page.says(words)
    small = write(tmp_path / "small.png", picture_with_spots(224, 144, PLACES, 7))
    assert page.open(small)["presence"] > 0.9  # and it goes on


def test_a_box_drawn_by_hand(page, finder, tmp_path):
    picture = picture_with_spots(640, 480, [(100, 100), (160, 120), (130, 180)], 9)
    picture[300:, 400:, 0] = np.maximum(picture[300:, 400:, 0], 200)  # something else that shines
    path = write(tmp_path / "two.png", picture)
    first = page.open(path)
    assert abs(first["measured"][0][0] - 100) > 50
    for mirrored in (False, True):
        page.do("m => posewright.set({ mirror: m })", mirrored)
        frame = page.page.locator("#picture").bounding_box()
        zoom = frame["width"] / 640
        across = [frame["x"] + (639.5 - x if mirrored else x + 0.5) * zoom for x in (60, 200)]
        down = [frame["y"] + (y + 0.5) * zoom for y in (70, 220)]
        mouse = page.page.mouse
        mouse.move(across[0], down[0])
        mouse.down()
        mouse.move(across[1], down[1], steps=3)
        mouse.up()
        page.until("posewright.last.box[2] < 300")
        found = page.do("posewright.last")
        np.testing.assert_allclose(found["box"], [60, 70, 200, 220], atol=1.5 / zoom)
        assert off(found, finder(path, [found["box"]])) < CLOSE
        assert abs(found["measured"][0][0] - 100) < 2
        page.page.keyboard.press("w")
        page.until("posewright.last.box[2] === 639.5")
    with pytest.raises(Exception, match="a box is"):
        page.do("posewright.lookInto([5, 5, 5, 9])")


def test_what_can_be_taken_home(page, tmp_path):
    found = page.open(write(tmp_path / "a photo.png", picture_with_spots(224, 144, PLACES, 7)))
    name, data = page.saved(lambda: page.page.keyboard.press("j"))
    assert name == "a_photo.json"
    poses = Poses.from_record(json.loads(data), SPOTS)
    np.testing.assert_allclose(poses.xy[0], np.array(found["keypoints"])[:, :2], atol=1e-3)
    assert poses.to_record() | {"source": "a photo.png"} == json.loads(data)
    page.page.keyboard.press("m")
    name, data = page.saved(lambda: page.page.keyboard.press("s"))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert name == "a_photo.png" and picture.shape == (144, 224, 3)
    # Mirrored as it is shown, with a dot of the first keypoint's colour where that is.
    assert picture[40, 223 - 60].tolist() == page.do("posewright.info.posewright.skeleton.link_colours[0]")
    assert picture[5, 5].tolist() == [30, 30, 30]


# -- what moves --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with h264_video(path, 20) as add:
        for i in range(60):
            add(picture_with_spots(224, 144, [(x + i, y) for x, y in PLACES], 7), None)
    return path


def test_a_video_file(page, finder, clip):
    page.open(clip)
    page.until("posewright.last.time > 0.5 && posewright.rate > 2")
    assert page.page.locator("#pause").text_content() == "Pause" and page.page.locator("#seek").is_visible()
    page.do("posewright.pause(true)")
    found = page.do("posewright.last")
    # It is followed: the box is around the spots.
    assert found["box"][0] > -0.5 and found["box"][2] < 223.5
    assert looked_at(page, finder) < CLOSE
    # The frame is that of its time: the spots move by 20 pixels a second.
    assert abs(found["measured"][0][0] - 60 - 20 * round(found["time"] * 20) / 20) < 2.5
    page.page.keyboard.press("ArrowRight")
    page.until(f"posewright.last.time > {found['time']}")
    assert looked_at(page, finder) < CLOSE
    page.do("posewright.video.currentTime = 2.9; posewright.pause(false)")
    page.until("document.getElementById('pause').textContent === 'Go on'")  # its end
    page.says("The end")
    page.page.keyboard.press(" ")
    page.until("posewright.last.time < 1.5 && !posewright.paused")


def test_following_and_filtering_can_be_switched_off(page, clip):
    page.do("posewright.set({ follow: false, filter: false })")
    page.open(clip)
    page.until("posewright.last.time > 0.4")
    page.do("posewright.pause(true)")
    found = page.do("posewright.last")
    assert found["box"] == [-0.5, -0.5, 223.5, 143.5] and found["keypoints"] == found["measured"]
    page.do("posewright.set({ follow: true, filter: true }); posewright.pause(false)")
    page.until("posewright.last.keypoints[0][0] !== posewright.last.measured[0][0] && posewright.last.box[0] > 0")
    # What moves to the right lags behind a little.
    page.until("posewright.last.keypoints[0][0] < posewright.last.measured[0][0]")


CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.mark.parametrize("kind", ["synthetic", "real"])
def test_a_camera(driver, hands, tmp_path, request, kind):
    """Fed from a clip of a hand: what is told of a frame is what Python finds in its pixels."""
    if kind == "real":
        clip = sorted((request.getfixturevalue("shared_data") / "video").glob("sign_*.mkv"))[0]
        pictures = [frame.image for frame in islice(video_frames(clip), 30)]
    else:
        pictures = [sample.image for sample in hand_clip(seconds=1, size=(320, 240), seed=3)]
    # Of two hands on one picture, a keypoint may be as likely on the one as on the other: one level of one pixel decides.
    torn = 1 if kind == "real" else 0
    fed = write_y4m(tmp_path / "clip.y4m", pictures)
    model = posewright.load("hand", "cpu", 1)
    with (
        serving(hands) as address,
        chromium.browser(driver, *CAMERA, f"--use-file-for-fake-video-capture={fed}") as browser,
    ):
        context = browser.new_context()
        page = SitePage(context, address)
        page.page.get_by_role("button", name="Camera", exact=True).click()
        page.until("posewright.last?.kind === 'camera' && posewright.rate > 0.5")
        for _ in range(1 if torn else 2):
            page.do("posewright.pause(true)")
            assert looked_at(page, model, torn) < CLOSE
            height, width = pictures[0].shape[:2]
            assert page.frame().shape == (height, width, 3)
            page.do("posewright.pause(false)")
            page.do("() => new Promise(done => posewright.addEventListener('poses', done, { once: true }))")
        if kind == "synthetic":
            assert page.do("posewright.last.presence") > 0.5
            assert page.do("posewright.settings.mirror") is True
        page.page.get_by_role("button", name="Stop camera").click()
        page.says("Stopped")
        assert page.do("posewright.video === null && !document.querySelector('video')")
        assert looked_at(page, model, torn) < CLOSE  # its last frame stays
        page.clean()
        context.close()


def test_a_camera_that_is_refused(context, spots):
    with serving(spots) as address:
        page = SitePage(context, address)
        page.page.get_by_role("button", name="Camera", exact=True).click()
        page.until("document.querySelector('#status.bad')")
        assert page.page.locator("#status").text_content().startswith(("The camera was not allowed", "No camera"))
        page.clean()


# -- the page ----------------------------------------------------------------------------------------------------------


def test_keys(page, tmp_path):
    page.open(write(tmp_path / "small.png", picture_with_spots(224, 144, PLACES, 7)))
    for key, name in (("f", "filter"), ("t", "follow"), ("m", "mirror"), ("n", "names")):
        before = page.do("name => posewright.settings[name]", name)
        page.page.keyboard.press(key)
        assert page.do("name => posewright.settings[name]", name) is not before
        assert page.page.locator(f"#{name}").is_checked() is not before
        page.says(f"{name.capitalize()} {'off' if before else 'on'}")
    page.page.keyboard.press("?")
    assert page.page.locator("#help").is_visible()
    page.page.keyboard.press("f")  # not while the keys are explained
    assert page.do("posewright.settings.filter") is False
    page.page.keyboard.press("Escape")
    assert not page.page.locator("#help").is_visible()
    page.page.locator("#threshold").focus()
    page.page.keyboard.press("End")
    assert page.do("posewright.settings.threshold") == 1
    assert page.page.locator("#shown").text_content() == "0 of 3 shown"
    page.page.keyboard.press("Home")
    assert page.page.locator("#shown").text_content() == "3 of 3 shown"
    rows = page.page.locator("#keypoints tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == list(SPOTS.keypoints)
    assert [float(v) for v in rows[0].split()[1:3]] == pytest.approx(PLACES[0], abs=0.3)
    # Everything that can be used can be reached with Tab, and says what it is.
    named = "[...document.querySelectorAll('button, input, select, canvas')].filter(e => e.checkVisibility())"
    assert (
        page.do(
            f"{named}.filter(e => !e.ariaLabel && !e.ariaHidden && !e.textContent.trim() && !e.labels?.length).map(e => e.id)"
        )
        == []
    )


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_it_fits(browser, spots, tmp_path, width, scheme):
    path = write(tmp_path / f"{'long_name_' * 12}.png", picture_with_spots(224, 144, PLACES, 7))
    with serving(spots) as address:
        context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
        page = SitePage(context, address)
        for _ in range(2):
            assert page.do("document.documentElement.scrollWidth") <= width
            inside = "[...document.querySelectorAll('header *, main *')].filter(e => e.checkVisibility() && beyond(e))"
            right, left = ("e.getBoundingClientRect()." + side for side in ("right", "left"))
            beyond = f"const beyond = e => {right} > innerWidth + 0.5 || {left} < -0.5;"
            assert page.do(f"() => {{ {beyond} return {inside}.map(e => e.id || e.tagName); }}") == []
            page.open(path)
            page.page.get_by_text("About this model").click()
        stage = page.page.locator("#stage").bounding_box()
        assert stage["width"] > 0.6 * width and stage["y"] + stage["height"] < 740
        ground = page.do("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (max(ground) < 60) is (scheme == "dark")
        page.clean()
        context.close()


def test_nothing_can_be_asked_of_anybody_else(page, spots, tmp_path):
    """Not by the page, nor by its worker, were a script of theirs to try."""
    heard: list[str] = []
    with serving(spots) as other:
        for asked in (page.page, page.page.workers[0]):
            said = asked.evaluate(
                "async url => { try { await fetch(url, {mode: 'no-cors'}); return 'sent'; } catch (e) { return String(e); } }",
                other,
            )
            heard.append(said)
    assert all("Failed to fetch" in said for said in heard), heard
    blocked = [line for line in page.complaints if "Content Security Policy" in line]
    assert len(blocked) == len(page.complaints) > 0
    assert not any(url.startswith(other) for url in page.asked)
    page.complaints.clear()


def test_with_threads_where_the_server_allows_shared_memory(context, spots, finder, tmp_path):
    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    path = write(tmp_path / "small.png", picture_with_spots(224, 144, PLACES, 7))
    with serving(spots, isolated) as address:
        page = SitePage(context, address)
        cores = page.do("navigator.hardwareConcurrency")
        assert page.do("posewright.model.threads") == min(4, cores)
        assert off(page.open(path), finder(path)) < CLOSE
        page.clean()
        context.close()


GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


def test_webgpu(driver, spots, finder, tmp_path):
    """In software, which is what there is without a graphics card."""
    path = write(tmp_path / "small.png", picture_with_spots(224, 144, PLACES, 7))
    with serving(spots) as address, chromium.browser(driver, *GPU, without=BARE) as browser:
        context = browser.new_context()
        page = SitePage(context, address, "?engine=webgpu")
        reason = page.do("posewright.model.reason")
        if page.do("posewright.model.engine") != "webgpu":
            pytest.skip(f"no WebGPU in this Chromium: {reason}")
        assert off(page.open(path), finder(path)) < CLOSE
        page.clean()
        # Nobody is given it in software who did not ask for that.
        page = SitePage(context, address, "")
        assert page.do("posewright.model.engine") == "wasm" and "software" in page.do("posewright.model.reason")
        page.clean()
        # And where it fails, WebAssembly does it.
        context.route("**/ort-webgpu.js", lambda route: route.fulfill(status=500))
        page = SitePage(context, address, "?engine=webgpu")
        assert page.do("posewright.model.engine") == "wasm" and "WebGPU failed" in page.do("posewright.model.reason")
        assert off(page.open(path), finder(path)) < CLOSE
        context.close()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", None, "could not be fetched: 404"),
        ("model.onnx", b"damaged", "cannot be run here"),
        ("model.json", b"{", "cannot be run here"),
    ],
)
def test_a_spoilt_folder(context, spots, name, content, words):
    with serving(spots) as address:
        how = {"status": 404} if content is None else {"body": content}
        context.route(f"**/{name}*", lambda route: route.fulfill(**how))
        page = context.new_page()
        page.goto(f"{address}?engine=wasm")
        page.wait_for_function("words => document.getElementById('status').textContent.includes(words)", arg=words)
        assert page.locator("#camera-button").is_disabled()
        context.close()


def test_in_a_page_of_ones_own(context, spots, finder):
    """The example of docs/web.md, its folder called spots; of a model that tells no presence."""
    written = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
    example = written.split("```html\n")[1].split("```")[0].replace("site/", "spots/").replace("photo.jpg", "photo.png")
    picture = write(spots.parent / "photo.png", picture_with_spots(224, 144, PLACES, 7))
    (spots.parent / "own.html").write_text(example.replace("const found =", "const found = window.found ="))
    about = json.loads((spots / "model.json").read_text())
    about["posewright"]["outputs"] = ["keypoints"]
    context.route("**/model.json", lambda route: route.fulfill(json=about))
    with serving(spots) as address:
        page = context.new_page()
        page.goto(f"{address.rsplit('/', 2)[0]}/own.html")
        page.wait_for_function("() => document.querySelector('pre').textContent.includes('blue')")
        lines = page.locator("pre").text_content().strip().splitlines()
        found, want = np.array([[float(v) for v in line.split()[1:]] for line in lines]), finder(picture)
        assert np.abs(found[:, :2] - want.xy[0]).max() < CLOSE
        assert page.evaluate("found.presence") == pytest.approx(want.score.mean(), abs=0.01)
        context.close()
