"""Weights of two older systems: the tf.keras stacked hourglass and the TensorFlow convolutional pose machines."""
