"""Photographs in files, such as ImageNet: class folders, TFRecords, TFDS; read when needed."""

from keras_joslim.datasets.image_files.corrupt_images import CorruptImages
from keras_joslim.datasets.image_files.file_split import FileSplit
from keras_joslim.datasets.image_files.from_tfds import load_tfds
from keras_joslim.datasets.image_files.image_folder import load_image_folder
from keras_joslim.datasets.image_files.photo_augmentation import PhotoAugmentation
from keras_joslim.datasets.image_files.photo_stream import PhotoStream
from keras_joslim.datasets.image_files.tfrecord import load_tfrecord

__all__ = [
    "CorruptImages",
    "FileSplit",
    "PhotoAugmentation",
    "PhotoStream",
    "load_image_folder",
    "load_tfds",
    "load_tfrecord",
]
