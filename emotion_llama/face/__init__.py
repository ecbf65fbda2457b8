"""Frames -> tracked, aligned faces with points, head pose and action units."""

from emotion_llama.face.action_units import measure_action_units
from emotion_llama.face.alignment import align_face, crop_face
from emotion_llama.face.detector import CascadeDetector, FaceBox, FaceDetector, NetworkDetector
from emotion_llama.face.landmarks import FaceLandmarker, FacePoints
from emotion_llama.face.peak import PeakFrame, PeakReading, peak_frame, smoothed
from emotion_llama.face.shape import frontal, head_pose
from emotion_llama.face.tables import read_action_units, write_action_units
from emotion_llama.face.talking import is_talking
from emotion_llama.face.tracker import FaceTracker, track_faces, whole_frame_track

__all__ = [
    "CascadeDetector",
    "FaceBox",
    "FaceDetector",
    "FaceLandmarker",
    "FacePoints",
    "FaceTracker",
    "NetworkDetector",
    "PeakFrame",
    "PeakReading",
    "align_face",
    "crop_face",
    "frontal",
    "head_pose",
    "is_talking",
    "measure_action_units",
    "peak_frame",
    "read_action_units",
    "smoothed",
    "track_faces",
    "whole_frame_track",
    "write_action_units",
]
