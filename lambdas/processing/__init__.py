"""Processing: reads what somebody uploaded as a dataset, once, and reports what is in it. It changes no record.

The same code runs as a Lambda function (`tasks`) and, past its limits, as a SageMaker Processing job (`__main__`).
"""
