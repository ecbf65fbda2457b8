"""Frames -> tracked, aligned faces with points, head pose and action units."""

from emotion_llama.face.alignment import align_face, crop_face
from emotion_llama.face.detector import CascadeDetector, FaceBox, FaceDetector, NetworkDetector
from emotion_llama.face.landmarks import FaceLandmarker, FacePoints
from emotion_llama.face.shape import frontal, head_pose
from emotion_llama.face.tracker import FaceTracker, track_faces, whole_frame_track

__all__ = [
    "CascadeDetector",
    "FaceBox",
    "FaceDetector",
    "FaceLandmarker",
    "FacePoints",
    "FaceTracker",
    "NetworkDetector",
    "align_face",
    "crop_face",
    "frontal",
    "head_pose",
    "track_faces",
    "whole_frame_track",
]
