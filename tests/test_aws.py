"""cluster.yaml on AWS, as moto simulates it in this process: what Ray makes of the file, what the roles allow, what the
check finds. Each promise is also tried on a file that breaks it."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import moto
import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner
from moto.core import set_initial_no_auth_action_count
from ray.autoscaler._private.aws import config as ray_aws
from ray.autoscaler._private.aws import utils as ray_aws_utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import hash_launch_conf, prepare_config, validate_config
from ray.autoscaler.tags import (
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_USER_NODE_TYPE,
)
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

from study.aws_cluster import read
from study.check import Finding, _Aws, check
from study.cli import main
from study.roles import make
