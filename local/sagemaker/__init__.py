"""Our local SageMaker: training jobs and endpoints as processes of this machine, behind AWS's own wire contract."""
