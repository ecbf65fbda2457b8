"""Features on disk: computed once, addressed by content, safe under many writers and kill -9."""

from .published_layout import FeatureSource, PublishedFeatures, export_published
from .reader import FeatureStore
from .stored_feature import (
    AmbiguousFeatureError,
    ChangedWhileReadError,
    DamagedStoreWarning,
    EncoderIdentity,
    FeatureKey,
    KeyFrame,
    Media,
    StoredFeature,
    StoreFullError,
    media_hash,
    settings_hash,
)
from .writer import FeatureWriter, compact

__all__ = [
    "AmbiguousFeatureError",
    "ChangedWhileReadError",
    "DamagedStoreWarning",
    "EncoderIdentity",
    "FeatureKey",
    "FeatureSource",
    "FeatureStore",
    "FeatureWriter",
    "KeyFrame",
    "Media",
    "PublishedFeatures",
    "StoreFullError",
    "StoredFeature",
    "compact",
    "export_published",
    "media_hash",
    "settings_hash",
]
