"""The graph finds the axes that nibabel finds, of any affine."""

import nibabel as nib
import numpy as np
from scan_files import traced

RNG = np.random.default_rng(3)


def rotations(number: int) -> np.ndarray:
    """Returns equally distributed rotations, [number, 3, 3]: of quaternions."""
    quaternions = RNG.normal(size=(number, 4))
    return np.array([nib.quaternions.quat2mat(each) for each in quaternions])


def found(affines: np.ndarray) -> np.ndarray:
    """Returns file axes and steps, [number, 3, 2], of depth, height and width."""
    import tensorflow as tf

    from components.transform.nifti.orientation import orientation_of

    def of_all(affines: tf.Tensor) -> tf.Tensor:
        signature = tf.TensorSpec([3, 2], tf.int32)
        return tf.map_fn(
            lambda each: tf.stack(orientation_of(each), 1), affines, fn_output_signature=signature
        )

    return traced(of_all, tf.TensorSpec([None, 3, 3], tf.float64))(affines).numpy()


def wanted(affine: np.ndarray) -> np.ndarray:
    world, directions = nib.io_orientation(nib.affines.from_matvec(affine)).T
    file_axes = np.argsort(world)[::-1]
    return np.stack([file_axes, directions[file_axes]], 1)


def check(affines: np.ndarray) -> None:
    assert np.array_equal(found(affines), [wanted(each) for each in affines])


def test_axes_of_any_rotation_spacing_and_shear_are_nibabels() -> None:
    spacings = RNG.uniform(0.3, 5, (3000, 1, 3))
    shears = np.eye(3) + np.triu(RNG.normal(0, 0.3, (3000, 3, 3)), 1)
    affines = rotations(3000) @ shears * spacings
    affines[::2, :, 0] *= -1
    check(affines)


def test_axes_next_to_a_tie_are_nibabels() -> None:
    # By a little more or less than half a right angle, where another axis becomes the nearest.
    angles = np.pi / 4 + RNG.choice([-1, 1], 1000) * 10.0 ** RNG.uniform(-9, -1, 1000)
    turned = [nib.eulerangles.euler2mat(*np.roll([each, 0, 0], place)) for place, each in enumerate(angles)]
    check(np.array(turned) * RNG.uniform(0.3, 5, (1000, 1, 3)))
