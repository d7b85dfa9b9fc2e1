"""What can go wrong in training."""

from components.errors import Failure, UserError


class TrainConfigError(UserError, ValueError):
    """The training settings do not fit the devices or the data."""


class TrainingFailure(Failure):
    """Training cannot go on."""
