"""NIfTI files in a served graph: bytes in, voxels out, and labels back in the file's own axes.

TensorFlow Serving runs no Python, so that what `components/formats/nifti.py` does is here once more, of
TensorFlow's operations alone. `header` reads and checks what stands before the voxels, `orientation` finds
out which axis points where, and `scans` reads voxels and has the way back. A test holds both to the same.
"""
