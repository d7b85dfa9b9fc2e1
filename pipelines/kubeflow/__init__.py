"""The same DAG on a cluster: a TFX pipeline goes in, a specification that Kubeflow Pipelines runs comes out.

Read compiled.py first, from a task's settings to the YAML; runner.py with platform.py, which translate the
DAG and what its nodes ask of Kubernetes; client.py, which calls the server, and following.py, which follows a
run by what run_state.py reads of the answers. node.py is the contract with the containers, where
entrypoint.py runs one node: artifacts.py has its inputs and outputs in KFP's words, and training_job.py
trains on several hosts.
"""
