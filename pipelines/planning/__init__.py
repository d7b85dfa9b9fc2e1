"""Settings of a task of volumes that fit its data and a memory, each with its reason.

Read plan.py first, from the grids of all cases to settings; topology.py says how large a patch is and how a
network halves it, memory.py what a step of training takes.

The rules are those of nnU-Net's planner: F. Isensee et al., nnU-Net: a self-configuring method for deep
learning-based biomedical image segmentation (Nature Methods 18, 2021, doi.org/10.1038/s41592-020-01008-z);
github.com/MIC-DKFZ/nnUNet, nnunetv2/experiment_planning.
"""
