"""What an inference component is to run: its model, with the role and the isolation of the endpoint that it is on."""

from local.cloud import Cloud
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.protocol import invalid
from local.sagemaker.serving import Plan
from local.sagemaker.store import Record

SPECIFIED = {"ModelName", "StartupParameters", "ComputeResourceRequirements"}


class ComponentPlans:
    """Made of models, configurations and endpoints; what one machine cannot do is refused, not ignored."""

    def __init__(
        self, cloud: Cloud, models: Models, configs: EndpointConfigs, endpoints: Endpoints, health_timeout: float
    ) -> None:
        self._cloud, self._models, self._configs, self._endpoints = cloud, models, configs, endpoints
        self._health_timeout = health_timeout

    def of(self, record: Record, specification: Record) -> Plan:
        """The plan of a component with that specification. Raises ValidationException when its model is gone."""
        description = record["description"]
        model = self._models.find(specification["ModelName"])["description"]
        config = self._config(description["EndpointName"])
        of_the_endpoint = {
            "ExecutionRoleArn": config["ExecutionRoleArn"],
            "EnableNetworkIsolation": config.get("EnableNetworkIsolation", False),
        }
        startup = specification.get("StartupParameters", {})
        return Plan(
            description["EndpointName"],
            specification["ModelName"],
            model | of_the_endpoint,
            config["ProductionVariants"][0],
            startup.get("ContainerStartupHealthCheckTimeoutInSeconds", self._health_timeout),
            component=description["InferenceComponentName"],
        )

    def role(self, record: Record) -> str:
        """The role that a component runs with."""
        return self._config(record["description"]["EndpointName"])["ExecutionRoleArn"]

    def host(self, name: str) -> Record:
        """The description of the endpoint that a new component goes on. Raises ValidationException."""
        _, found = self._endpoints.serving(name)
        if found is None:
            arn = f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account}:endpoint/{name}"
            raise invalid(f'Could not find endpoint "{arn}".')
        if found["EndpointStatus"] != "InService":
            raise invalid(f"The endpoint {name} is {found['EndpointStatus']}, not InService.")
        if not self._endpoints.hosts(name):
            raise invalid(f"The endpoint {name} serves a model, and no inference components.")
        return found

    def check(self, specification: Record | None) -> None:
        """Raises ValidationException for a specification that cannot be run here."""
        if specification is None:
            raise invalid("Specification is required by the local platform.")
        for member in specification.keys() - SPECIFIED:
            raise invalid(f"{member} of an inference component is not implemented by the local platform.")
        if "ModelName" not in specification or "ComputeResourceRequirements" not in specification:
            raise invalid("ModelName and ComputeResourceRequirements are required.")
        self._models.find(specification["ModelName"])

    def _config(self, endpoint: str) -> Record:
        _, described = self._endpoints.serving(endpoint)
        assert described is not None  # an endpoint with components is not deleted
        return self._configs.find(described["EndpointConfigName"])["description"]
