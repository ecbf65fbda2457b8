"""Pictures that are made, not taken: faces pasted into scenes, hidden parts, spoiled pixels.

Knows: geometry and pixels. Does not know: files, splits, networks. All numbers come from the
generator that is passed in, so a seed gives the same pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.points import INNER_LIPS, LEFT_EYE, OUTER_LIPS, REGION_POINTS, RIGHT_EYE

from .material import Face, Scene, yaw_of

Grey = NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True)
class Pasted:
    """Where a face was put."""

    box: NDArray[np.float32]
    """centre x, y and side in pixels of the composition, [3]"""
    keypoints: NDArray[np.float32]
    """right eye, left eye, mouth, [3 x 2]"""
    yaw_deg: float
    number: int
    """which of the faces that were given"""


@dataclass(frozen=True)
class Composition:
    """A scene with faces."""

    pixels: Grey
    """[h x w]"""
    faces: tuple[Pasted, ...]
    unknown: NDArray[np.float32]
    """left, top, width, height of places where a face cannot be ruled out, [n x 4]"""


def keypoints(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give right eye, left eye and mouth of points [70 x 2 or 3], [3 x 2]."""
    groups = (RIGHT_EYE, LEFT_EYE, (*OUTER_LIPS, *INNER_LIPS))
    return np.stack([points[list(group), :2].mean(axis=0) for group in groups])


def similarity(
    centre: NDArray[np.floating], scale: float, degrees: float, target: tuple[float, float]
) -> NDArray[np.float64]:
    """Give the map [2 x 3] that turns and scales about ``centre`` and moves it to ``target``."""
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, scale)
    matrix[:, 2] += np.asarray(target) - centre
    return np.asarray(matrix, dtype=np.float64)


def moved(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Map points [n x 2] through [2 x 3]."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float32)


def relit(pixels: Grey, random: Random, strength: float = 1.0) -> Grey:
    """Change gamma, contrast and brightness, and let light fall in from one side."""
    value = pixels.astype(np.float32) / 255.0
    value = value ** float(np.exp(strength * random.normal(0.0, 0.35)))
    value = (value - 0.5) * float(np.exp(strength * random.normal(0.0, 0.25))) + 0.5
    value += strength * random.normal(0.0, 0.06)
    if random.random() < 0.4:
        height, width = pixels.shape
        angle = random.uniform(0, 2 * np.pi)
        x = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.cos(angle)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.sin(angle)
        value *= 1.0 + strength * float(random.uniform(0, 0.6)) * (x + y)
    return np.asarray(np.clip(value * 255.0, 0, 255), dtype=np.uint8)


def spoiled(pixels: Grey, random: Random, smallest_share: float) -> Grey:
    """Lose detail as cameras and codecs do: low resolution, blur, noise, JPEG blocks.

    Args:
        pixels: [h x w]
        random: source of the choices
        smallest_share: lowest resolution to go down to, as a share of the present one
    """
    height, width = pixels.shape
    if random.random() < 0.4:
        share = random.uniform(smallest_share, 1.0)
        size = (max(2, round(width * share)), max(2, round(height * share)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        enlarge = cv2.INTER_CUBIC if random.random() < 0.5 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(small, (width, height), interpolation=enlarge))
    if random.random() < 0.2:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.4, 1.6)))
    if random.random() < 0.3:
        noise = random.standard_normal(pixels.shape, dtype=np.float32) * random.uniform(2, 14)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if random.random() < 0.2:
        quality = int(random.integers(20, 80))
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    return pixels


def texture(scene: Scene, size: tuple[int, int], random: Random) -> Grey:
    """Cut a random piece of a scene and scale it to (height, width); flat grey now and then."""
    if random.random() < 0.35:
        return np.full(size, int(random.integers(0, 256)), np.uint8)
    height, width = scene.pixels.shape
    side = int(random.uniform(0.15, 0.9) * min(height, width))
    top, left = random.integers(0, height - side), random.integers(0, width - side)
    piece = scene.pixels[top : top + side, left : left + side]
    return np.asarray(cv2.resize(piece, size[::-1], interpolation=cv2.INTER_AREA))


def blend(canvas: Grey, piece: Grey, mask: NDArray[np.float32]) -> None:
    """Lay a piece over a canvas of the same size, in place, by a mask of 0 to 1."""
    canvas[:] = np.clip(canvas + (piece.astype(np.float32) - canvas) * mask, 0, 255)


def hidden(
    pixels: Grey, points: NDArray[np.float32], scene: Scene, random: Random
) -> tuple[Grey, dict[str, bool]]:
    """Cover a part of a face: a mask over mouth and nose, dark glasses, or a patch anywhere.

    Args:
        pixels: [h x w]
        points: of the face in it, [70 x 2 or 3]
        scene: where the cover's texture comes from
        random: source of the choices

    Returns:
        the picture, and for each region of the face whether most of its points are still seen
    """
    cover = np.zeros(pixels.shape, np.uint8)
    kind = random.random()
    extent = float(np.ptp(points[:, 1]))
    if kind < 0.35:  # a mask: from the nose down to the jaw
        top = points[28 + int(random.integers(0, 3)), :2]
        line = np.concatenate([points[2:15, :2], top[None]])
        line = line + random.normal(0, 0.015 * extent, line.shape)
        cv2.fillPoly(cover, [np.rint(line).astype(np.int32)], 255)
    elif kind < 0.55:  # glasses one cannot look through
        for eye in (RIGHT_EYE, LEFT_EYE):
            x, y = points[list(eye), :2].mean(axis=0)
            radius = extent * random.uniform(0.13, 0.2)
            axes = (max(1, round(radius)), max(1, round(0.8 * radius)))
            cv2.ellipse(cover, (round(float(x)), round(float(y))), axes, 0, 0, 360, 255, -1)
    else:
        x, y = points[int(random.integers(0, len(points))), :2]
        axes = tuple(max(1, round(extent * random.uniform(0.08, 0.4))) for _ in range(2))
        turn = float(random.uniform(0, 180))
        where = (round(float(x)), round(float(y)))
        if random.random() < 0.5:
            cv2.ellipse(cover, where, axes, turn, 0, 360, 255, -1)
        else:
            corners = cv2.boxPoints((where, (2.0 * axes[0], 2.0 * axes[1]), turn))
            cv2.fillPoly(cover, [np.rint(corners).astype(np.int32)], 255)
    rows = np.clip(np.rint(points[:, 1]).astype(int), 0, pixels.shape[0] - 1)
    columns = np.clip(np.rint(points[:, 0]).astype(int), 0, pixels.shape[1] - 1)
    covered = cover[rows, columns] > 0
    seen = {
        name: bool(covered[list(numbers)].mean() < 0.5) for name, numbers in REGION_POINTS.items()
    }
    result = pixels.copy()
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.3, 0.006 * extent)).astype(np.float32) / 255.0
    blend(result, texture(scene, pixels.shape, random), soft)
    return result, seen


def shuffled(pixels: Grey, random: Random) -> Grey:
    """Exchange the tiles of a picture: skin and seams without a face."""
    tiles = 4
    side = min(pixels.shape) // tiles
    if side < 2:
        return pixels[::-1]
    pieces = [
        pixels[i * side : (i + 1) * side, j * side : (j + 1) * side]
        for i in range(tiles)
        for j in range(tiles)
    ]
    order = random.permutation(len(pieces))
    rows = [np.hstack([pieces[k] for k in order[i : i + tiles]]) for i in range(0, 16, tiles)]
    return np.vstack(rows)


def _paste_mask(shape: tuple[int, ...], points: NDArray[np.float32] | None, random: Random) -> Grey:
    """Draw which part of a crop is pasted [h x w]: an oval around the head, or nearly all of it."""
    height, width = shape
    mask = np.zeros((height, width), np.uint8)
    if points is not None and random.random() < 0.7:
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        centre = (low + high) / 2 - np.array([0.0, random.uniform(0.05, 0.2) * (high - low)[1]])
        radii = (high - low) / 2 * np.array([random.uniform(1.05, 1.5), random.uniform(1.2, 1.6)])
        where = tuple(round(float(v)) for v in centre)
        axes = tuple(max(1, round(float(v))) for v in radii)
        cv2.ellipse(mask, where, axes, 0, 0, 360, 255, -1)
    else:
        mask[:] = 255
    # what the crop cuts off fades out, or the crop's edge would be the thing to look for
    edge = max(1, round(random.uniform(0.01, 0.12) * min(height, width)))
    mask[:edge], mask[-edge:], mask[:, :edge], mask[:, -edge:] = 0, 0, 0, 0
    feather = random.uniform(0.004, 0.04) * min(height, width)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.3, feather)))


def _lay(canvas: Grey, piece: Grey, mask: Grey, matrix: NDArray[np.float64]) -> None:
    """Lay a piece over the canvas through a map [2 x 3], in place."""
    size = canvas.shape[::-1]
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    if scale < 0.6:  # linear sampling would alias
        share = max(scale, 0.05)
        small = (max(1, round(piece.shape[1] * share)), max(1, round(piece.shape[0] * share)))
        ratio = np.array([piece.shape[1] / small[0], piece.shape[0] / small[1]])
        piece = np.asarray(cv2.resize(piece, small, interpolation=cv2.INTER_AREA))
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA))
        matrix = matrix.copy()
        matrix[:, :2] = matrix[:, :2] * ratio
    warped = cv2.warpAffine(piece, matrix, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    if len(rows) and len(columns):
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        blend(canvas[window], warped[window], cover[window].astype(np.float32) / 255.0)


def _body(canvas: Grey, box: NDArray[np.float32], scene: Scene, random: Random) -> None:
    """Draw hair behind and shoulders below a face to come, in place."""
    x, y, side = (float(v) for v in box)
    size = canvas.shape
    if random.random() < 0.5:
        cover = np.zeros(size, np.uint8)
        axes = (
            max(1, round(side * random.uniform(0.5, 0.75))),
            max(1, round(side * random.uniform(0.6, 0.95))),
        )
        where = (round(x), round(y - side * random.uniform(0.0, 0.2)))
        cv2.ellipse(cover, where, axes, 0, 0, 360, 255, -1)
        blend(canvas, texture(scene, size, random), cover.astype(np.float32) / 255.0)
    if random.random() < 0.6:
        cover = np.zeros(size, np.uint8)
        neck, wide = side * random.uniform(0.2, 0.35), side * random.uniform(0.8, 1.4)
        start, shoulder = y + 0.3 * side, y + side * random.uniform(0.7, 0.95)
        corners = [(-neck, start), (neck, start), (neck, shoulder - 0.1 * side), (wide, shoulder),
                   (wide * 1.1, y + 4 * side), (-wide * 1.1, y + 4 * side), (-wide, shoulder),
                   (-neck, shoulder - 0.1 * side)]  # fmt: skip
        line = np.array([(x + dx, dy) for dx, dy in corners])
        cv2.fillPoly(cover, [np.rint(line).astype(np.int32)], 255)
        blend(canvas, texture(scene, size, random), cover.astype(np.float32) / 255.0)


def _backdrop(
    scene: Scene, size: tuple[int, int], zoom: tuple[float, float], random: Random
) -> tuple[Grey, NDArray[np.float32]]:
    """Cut a part of a scene, scaled to (height, width); give it and its unknown places."""
    height, width = scene.pixels.shape
    cover = max(size[0] / height, size[1] / width)
    scale = cover * random.uniform(*zoom)
    shift = np.array(
        [
            random.uniform(0, width * scale - size[1]),
            random.uniform(0, height * scale - size[0]),
        ]
    )
    mirror = random.random() < 0.5
    source = scene.pixels[:, ::-1] if mirror else scene.pixels
    matrix = np.array([[scale, 0, -shift[0]], [0, scale, -shift[1]]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.warpAffine(np.ascontiguousarray(source), matrix, size[::-1], flags=flags)
    boxes = scene.candidates.copy()
    if mirror and len(boxes):
        boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    boxes *= scale
    if len(boxes):
        boxes[:, :2] -= shift
    return np.asarray(pixels), boxes


def _is_free(box: NDArray[np.float32], taken: Sequence[NDArray[np.float32]]) -> bool:
    """Tell whether a face would stand clear of the others."""
    return all(
        max(abs(box[0] - other[0]), abs(box[1] - other[1])) > 0.55 * (box[2] + other[2])
        for other in taken
    )


def compose(
    scene: Scene,
    faces: Sequence[Face],
    size: tuple[int, int],
    sides_px: tuple[float, float],
    random: Random,
    *,
    outside: float = 0.0,
    distractors: int = 3,
    tilt_deg: float = 12.0,
    hide: float = 0.0,
    zoom: tuple[float, float] = (1.0, 1.6),
) -> Composition:
    """Paste faces into a scene at random sizes and places, beside pieces that are no faces.

    Args:
        scene: the background
        faces: whom to paste; one who finds no free place is left out
        size: height and width of the picture
        sides_px: smallest and largest box side, drawn evenly on a logarithmic scale
        random: source of the choices
        outside: share of a box side that may lie outside the picture
        distractors: most pieces without a face
        tilt_deg: deviation of the heads' roll
        hide: share of faces of which a part is covered
        zoom: smallest and largest enlargement of the scene beyond what fills the picture
    """
    canvas, unknown = _backdrop(scene, size, zoom, random)
    canvas = relit(canvas, random, 0.6)
    for _ in range(int(random.integers(0, distractors + 1)) if distractors else 0):
        piece = texture(scene, (96, 96), random)
        if faces and random.random() < 0.3:
            piece = shuffled(faces[int(random.integers(0, len(faces)))].pixels, random)
        side = np.exp(random.uniform(*np.log(sides_px)))
        oval = np.array([[0.2, 0.1, 0], [0.8, 0.9, 0]], np.float32) * max(piece.shape)
        mask = _paste_mask(piece.shape, oval, random)
        where = (random.uniform(0, size[1]), random.uniform(0, size[0]))
        turn = similarity(
            np.array(piece.shape[::-1]) / 2, side / max(piece.shape), random.normal(0, 30), where
        )
        _lay(canvas, piece, mask, turn)
    placed: list[tuple[int, NDArray[np.float32]]] = []
    for number in range(len(faces)):
        box = _free_place([box for _, box in placed], size, sides_px, outside, random)
        if box is not None:
            placed.append((number, box))
    for _, box in placed:  # all of them before any face: nobody's hair hides another's face
        _body(canvas, box, scene, random)
    pasted = []
    for number, box in placed:
        face = faces[number]
        pixels, points = face.pixels, face.points
        if random.random() < hide:
            pixels, _ = hidden(pixels, points, scene, random)
        tilt = random.normal(0, tilt_deg)
        matrix = similarity(face.box[:2], box[2] / face.box[2], tilt, (box[0], box[1]))
        _lay(canvas, relit(pixels, random), _paste_mask(pixels.shape, points, random), matrix)
        pasted.append(Pasted(box, moved(matrix, keypoints(points)), yaw_of(points), number))
    made = Composition(canvas, tuple(pasted), unknown)
    return _mirrored(made) if random.random() < 0.5 else made


def _free_place(
    taken: Sequence[NDArray[np.float32]],
    size: tuple[int, int],
    sides_px: tuple[float, float],
    outside: float,
    random: Random,
) -> NDArray[np.float32] | None:
    """Draw a box (centre x, y and side) clear of the others; ``None`` after 20 tries."""
    for _ in range(20):
        side = float(np.exp(random.uniform(*np.log(sides_px))))
        slack = (0.5 - outside) * side
        if slack > size[1] - slack or slack > size[0] - slack:
            continue
        x, y = random.uniform(slack, size[1] - slack), random.uniform(slack, size[0] - slack)
        box = np.array([x, y, side], np.float32)
        if _is_free(box, taken):
            return box
    return None


def _mirrored(made: Composition) -> Composition:
    """Give the mirror image of a composition."""
    width = made.pixels.shape[1]
    faces = []
    for face in made.faces:
        key = np.array([[width - x, y] for x, y in face.keypoints[[1, 0, 2]]], np.float32)
        box = np.array([width - face.box[0], *face.box[1:]], np.float32)
        faces.append(replace(face, box=box, keypoints=key, yaw_deg=-face.yaw_deg))
    unknown = made.unknown.copy()
    if len(unknown):
        unknown[:, 0] = width - unknown[:, 0] - unknown[:, 2]
    return Composition(np.ascontiguousarray(made.pixels[:, ::-1]), tuple(faces), unknown)
