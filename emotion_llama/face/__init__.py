"""Frames -> the main person's tracked face crops."""

from emotion_llama.face.alignment import crop_face
from emotion_llama.face.detector import CascadeDetector, FaceBox, FaceDetector
from emotion_llama.face.tracker import track_main_face, whole_frame_track

__all__ = [
    "CascadeDetector",
    "FaceBox",
    "FaceDetector",
    "crop_face",
    "track_main_face",
    "whole_frame_track",
]
