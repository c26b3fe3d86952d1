"""The request bodies of the API, and the check of a body against them.

Source: the REST reference of API 2025-06-01. A test holds these tables against the models of the installed Python
SDK, field by field in both directions, so that a new version of the API shows up as a difference.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import BatchFault, invalid_property
from .protocol import Json
from .timefmt import parse_duration, parse_iso

# MODEL, then its fields as name[!]:type, `!` where required; [type] is a list, {type} an object with any keys.
_MODELS = """
AutoUserSpecification
    scope:AutoUserScope elevationLevel:ElevationLevel
AutomaticOsUpgradePolicy
    disableAutomaticRollback:bool enableAutomaticOSUpgrade:bool useRollingUpgradePolicy:bool
    osRollingUpgradeDeferral:bool
AzureBlobFileSystemConfiguration
    accountName!:str containerName!:str accountKey:str sasKey:str blobfuseOptions:str
    relativeMountPath!:str identityReference:BatchNodeIdentityReference
AzureFileShareConfiguration
    accountName!:str accountKey!:str azureFileUrl!:str relativeMountPath!:str mountOptions:str
BatchAffinityInfo
    affinityId!:str
BatchApplicationPackageReference
    applicationId!:str version:str
BatchAutoPoolSpecification
    autoPoolIdPrefix:str poolLifetimeOption!:BatchPoolLifetimeOption keepAlive:bool
    pool:BatchPoolSpecification
BatchContainerConfiguration
    type!:ContainerType containerImageNames:[str] containerRegistries:[ContainerRegistryReference]
BatchDiffDiskSettings
    placement:DiffDiskPlacement
BatchInboundNatPool
    name!:str protocol!:InboundEndpointProtocol backendPort!:int frontendPortRangeStart!:int
    frontendPortRangeEnd!:int networkSecurityGroupRules:[NetworkSecurityGroupRule]
BatchJob
    priority:int allowTaskPreemption:bool maxParallelTasks:int constraints:BatchJobConstraints
    poolInfo!:BatchPoolInfo onAllTasksComplete:BatchAllTasksCompleteMode metadata:[BatchMetadataItem]
BatchJobConstraints
    maxWallClockTime:duration maxTaskRetryCount:int
BatchJobCreateOptions
    id!:str displayName:str usesTaskDependencies:bool priority:int allowTaskPreemption:bool
    maxParallelTasks:int constraints:BatchJobConstraints jobManagerTask:BatchJobManagerTask
    jobPreparationTask:BatchJobPreparationTask jobReleaseTask:BatchJobReleaseTask
    commonEnvironmentSettings:[EnvironmentSetting] poolInfo!:BatchPoolInfo
    onAllTasksComplete:BatchAllTasksCompleteMode onTaskFailure:BatchTaskFailureMode
    networkConfiguration:BatchJobNetworkConfiguration metadata:[BatchMetadataItem]
BatchJobDisableOptions
    disableTasks!:DisableBatchJobOption
BatchJobManagerTask
    id!:str displayName:str commandLine!:str containerSettings:BatchTaskContainerSettings
    resourceFiles:[ResourceFile] outputFiles:[OutputFile] environmentSettings:[EnvironmentSetting]
    constraints:BatchTaskConstraints requiredSlots:int killJobOnCompletion:bool userIdentity:UserIdentity
    runExclusive:bool applicationPackageReferences:[BatchApplicationPackageReference]
    allowLowPriorityNode:bool
BatchJobNetworkConfiguration
    subnetId!:str skipWithdrawFromVNet:bool
BatchJobPreparationTask
    id:str commandLine!:str containerSettings:BatchTaskContainerSettings resourceFiles:[ResourceFile]
    environmentSettings:[EnvironmentSetting] constraints:BatchTaskConstraints waitForSuccess:bool
    userIdentity:UserIdentity rerunOnNodeRebootAfterSuccess:bool
BatchJobReleaseTask
    id:str commandLine!:str containerSettings:BatchTaskContainerSettings resourceFiles:[ResourceFile]
    environmentSettings:[EnvironmentSetting] maxWallClockTime:duration retentionTime:duration
    userIdentity:UserIdentity
BatchJobSchedule
    schedule:BatchJobScheduleConfiguration jobSpecification!:BatchJobSpecification
    metadata:[BatchMetadataItem]
BatchJobScheduleConfiguration
    doNotRunUntil:time doNotRunAfter:time startWindow:duration recurrenceInterval:duration
BatchJobScheduleCreateOptions
    id!:str displayName:str schedule!:BatchJobScheduleConfiguration jobSpecification!:BatchJobSpecification
    metadata:[BatchMetadataItem]
BatchJobScheduleUpdateOptions
    schedule:BatchJobScheduleConfiguration jobSpecification:BatchJobSpecification
    metadata:[BatchMetadataItem]
BatchJobSpecification
    priority:int allowTaskPreemption:bool maxParallelTasks:int displayName:str usesTaskDependencies:bool
    onAllTasksComplete:BatchAllTasksCompleteMode onTaskFailure:BatchTaskFailureMode
    networkConfiguration:BatchJobNetworkConfiguration constraints:BatchJobConstraints
    jobManagerTask:BatchJobManagerTask jobPreparationTask:BatchJobPreparationTask
    jobReleaseTask:BatchJobReleaseTask commonEnvironmentSettings:[EnvironmentSetting]
    poolInfo!:BatchPoolInfo metadata:[BatchMetadataItem]
BatchJobTerminateOptions
    terminateReason:str
BatchJobUpdateOptions
    priority:int allowTaskPreemption:bool maxParallelTasks:int constraints:BatchJobConstraints
    poolInfo:BatchPoolInfo onAllTasksComplete:BatchAllTasksCompleteMode metadata:[BatchMetadataItem]
    networkConfiguration:BatchJobNetworkConfiguration
BatchMetadataItem
    name!:str value!:str
BatchNodeDeallocateOptions
    nodeDeallocateOption:BatchNodeDeallocateOption
BatchNodeDisableSchedulingOptions
    nodeDisableSchedulingOption:BatchNodeDisableSchedulingOption
BatchNodeIdentityReference
    resourceId:str
BatchNodePlacementConfiguration
    policy:BatchNodePlacementPolicyType
BatchNodeRebootOptions
    nodeRebootOption:BatchNodeRebootKind
BatchNodeReimageOptions
    nodeReimageOption:BatchNodeReimageOption
BatchNodeRemoveOptions
    nodeList!:[str] resizeTimeout:duration nodeDeallocationOption:BatchNodeDeallocationOption
BatchNodeUserCreateOptions
    name!:str isAdmin:bool expiryTime:time password:str sshPublicKey:str
BatchNodeUserReplaceOptions
    password:str expiryTime:time sshPublicKey:str
BatchOsDisk
    ephemeralOSDiskSettings:BatchDiffDiskSettings caching:CachingType diskSizeGB:int
    managedDisk:ManagedDisk writeAcceleratorEnabled:bool
BatchPoolCreateOptions
    id!:str displayName:str vmSize!:str virtualMachineConfiguration:VirtualMachineConfiguration
    resizeTimeout:duration targetDedicatedNodes:int targetLowPriorityNodes:int enableAutoScale:bool
    autoScaleFormula:str autoScaleEvaluationInterval:duration enableInterNodeCommunication:bool
    networkConfiguration:NetworkConfiguration startTask:BatchStartTask
    applicationPackageReferences:[BatchApplicationPackageReference] taskSlotsPerNode:int
    taskSchedulingPolicy:BatchTaskSchedulingPolicy userAccounts:[UserAccount] metadata:[BatchMetadataItem]
    mountConfiguration:[MountConfiguration] upgradePolicy:UpgradePolicy
BatchPoolEnableAutoScaleOptions
    autoScaleFormula:str autoScaleEvaluationInterval:duration
BatchPoolEndpointConfiguration
    inboundNATPools!:[BatchInboundNatPool]
BatchPoolEvaluateAutoScaleOptions
    autoScaleFormula!:str
BatchPoolIdentityReference
    resourceId:str
BatchPoolInfo
    poolId:str autoPoolSpecification:BatchAutoPoolSpecification
BatchPoolReplaceOptions
    startTask:BatchStartTask applicationPackageReferences!:[BatchApplicationPackageReference]
    metadata!:[BatchMetadataItem]
BatchPoolResizeOptions
    targetDedicatedNodes:int targetLowPriorityNodes:int resizeTimeout:duration
    nodeDeallocationOption:BatchNodeDeallocationOption
BatchPoolSpecification
    displayName:str vmSize!:str virtualMachineConfiguration:VirtualMachineConfiguration
    taskSlotsPerNode:int taskSchedulingPolicy:BatchTaskSchedulingPolicy resizeTimeout:duration
    targetDedicatedNodes:int targetLowPriorityNodes:int enableAutoScale:bool autoScaleFormula:str
    autoScaleEvaluationInterval:duration enableInterNodeCommunication:bool
    networkConfiguration:NetworkConfiguration startTask:BatchStartTask
    applicationPackageReferences:[BatchApplicationPackageReference] userAccounts:[UserAccount]
    metadata:[BatchMetadataItem] mountConfiguration:[MountConfiguration] upgradePolicy:UpgradePolicy
BatchPoolUpdateOptions
    displayName:str vmSize:str enableInterNodeCommunication:bool startTask:BatchStartTask
    applicationPackageReferences:[BatchApplicationPackageReference] metadata:[BatchMetadataItem]
    virtualMachineConfiguration:VirtualMachineConfiguration taskSlotsPerNode:int
    taskSchedulingPolicy:BatchTaskSchedulingPolicy networkConfiguration:NetworkConfiguration
    userAccounts:[UserAccount] mountConfiguration:[MountConfiguration] upgradePolicy:UpgradePolicy
BatchPublicIpAddressConfiguration
    provision:IpAddressProvisioningType ipFamilies:[IPFamily] ipAddressIds:[str] ipTags:[IPTag]
BatchStartTask
    commandLine!:str containerSettings:BatchTaskContainerSettings resourceFiles:[ResourceFile]
    environmentSettings:[EnvironmentSetting] userIdentity:UserIdentity maxTaskRetryCount:int
    waitForSuccess:bool
BatchTask
    constraints:BatchTaskConstraints
BatchTaskConstraints
    maxWallClockTime:duration retentionTime:duration maxTaskRetryCount:int
BatchTaskContainerSettings
    containerRunOptions:str imageName!:str registry:ContainerRegistryReference
    workingDirectory:ContainerWorkingDirectory
    containerHostBatchBindMounts:[ContainerHostBatchBindMountEntry]
BatchTaskCreateOptions
    id!:str displayName:str exitConditions:ExitConditions commandLine!:str
    containerSettings:BatchTaskContainerSettings resourceFiles:[ResourceFile] outputFiles:[OutputFile]
    environmentSettings:[EnvironmentSetting] affinityInfo:BatchAffinityInfo
    constraints:BatchTaskConstraints requiredSlots:int userIdentity:UserIdentity
    multiInstanceSettings:MultiInstanceSettings dependsOn:BatchTaskDependencies
    applicationPackageReferences:[BatchApplicationPackageReference]
BatchTaskDependencies
    taskIds:[str] taskIdRanges:[BatchTaskIdRange]
BatchTaskGroup
    value!:[BatchTaskCreateOptions]
BatchTaskIdRange
    start!:int end!:int
BatchTaskSchedulingPolicy
    jobDefaultOrder:BatchJobDefaultOrder nodeFillType!:BatchNodeFillType
BatchUefiSettings
    secureBootEnabled:bool vTpmEnabled:bool
BatchVmDiskSecurityProfile
    securityEncryptionType:SecurityEncryptionTypes
BatchVmImageReference
    publisher:str offer:str sku:str version:str virtualMachineImageId:str sharedGalleryImageId:str
    communityGalleryImageId:str
CifsMountConfiguration
    username!:str source!:str relativeMountPath!:str mountOptions:str password!:str
ContainerHostBatchBindMountEntry
    source:ContainerHostDataPath isReadOnly:bool
ContainerRegistryReference
    username:str password:str registryServer:str identityReference:BatchNodeIdentityReference
DataDisk
    lun!:int caching:CachingType diskSizeGB!:int managedDisk:ManagedDisk
DiskCustomerManagedKey
    identityReference:BatchPoolIdentityReference keyUrl:str rotationToLatestKeyVersionEnabled:bool
DiskEncryptionConfiguration
    customerManagedKey:DiskCustomerManagedKey targets:[DiskEncryptionTarget]
DiskEncryptionSetParameters
    id:str
EnvironmentSetting
    name!:str value:str
ExitCodeMapping
    code!:int exitOptions!:ExitOptions
ExitCodeRangeMapping
    start!:int end!:int exitOptions!:ExitOptions
ExitConditions
    exitCodes:[ExitCodeMapping] exitCodeRanges:[ExitCodeRangeMapping] preProcessingError:ExitOptions
    fileUploadError:ExitOptions default:ExitOptions
ExitOptions
    jobAction:BatchJobActionKind dependencyAction:DependencyAction
HostEndpointSettings
    inVMAccessControlProfileReferenceId:str mode:HostEndpointSettingsModeTypes
IPTag
    ipTagType:str tag:str
LinuxUserConfiguration
    uid:int gid:int sshPrivateKey:str
ManagedDisk
    diskEncryptionSet:DiskEncryptionSetParameters storageAccountType:StorageAccountType
    securityProfile:BatchVmDiskSecurityProfile
MountConfiguration
    azureBlobFileSystemConfiguration:AzureBlobFileSystemConfiguration
    nfsMountConfiguration:NfsMountConfiguration cifsMountConfiguration:CifsMountConfiguration
    azureFileShareConfiguration:AzureFileShareConfiguration
MultiInstanceSettings
    numberOfInstances:int coordinationCommandLine!:str commonResourceFiles:[ResourceFile]
NetworkConfiguration
    subnetId:str dynamicVNetAssignmentScope:DynamicVNetAssignmentScope
    endpointConfiguration:BatchPoolEndpointConfiguration
    publicIPAddressConfiguration:BatchPublicIpAddressConfiguration enableAcceleratedNetworking:bool
NetworkSecurityGroupRule
    priority!:int access!:NetworkSecurityGroupRuleAccess sourceAddressPrefix!:str sourcePortRanges:[str]
NfsMountConfiguration
    source!:str relativeMountPath!:str mountOptions:str
OutputFile
    filePattern!:str destination!:OutputFileDestination uploadOptions!:OutputFileUploadConfiguration
OutputFileBlobContainerDestination
    path:str containerUrl!:str identityReference:BatchNodeIdentityReference
    uploadHeaders:[OutputFileUploadHeader]
OutputFileDestination
    container:OutputFileBlobContainerDestination
OutputFileUploadConfiguration
    uploadCondition!:OutputFileUploadCondition
OutputFileUploadHeader
    name!:str value:str
ProxyAgentSettings
    enabled:bool imds:HostEndpointSettings wireServer:HostEndpointSettings
ResourceFile
    autoStorageContainerName:str storageContainerUrl:str httpUrl:str blobPrefix:str filePath:str
    fileMode:str identityReference:BatchNodeIdentityReference
RollingUpgradePolicy
    enableCrossZoneUpgrade:bool maxBatchInstancePercent:int maxUnhealthyInstancePercent:int
    maxUnhealthyUpgradedInstancePercent:int pauseTimeBetweenBatches:duration
    prioritizeUnhealthyInstances:bool rollbackFailedInstancesOnPolicyBreach:bool
SecurityProfile
    encryptionAtHost:bool proxyAgentSettings:ProxyAgentSettings securityType:SecurityTypes
    uefiSettings:BatchUefiSettings
ServiceArtifactReference
    id!:str
UpgradePolicy
    mode!:UpgradeMode automaticOSUpgradePolicy:AutomaticOsUpgradePolicy
    rollingUpgradePolicy:RollingUpgradePolicy
UploadBatchServiceLogsOptions
    containerUrl!:str startTime!:time endTime:time identityReference:BatchNodeIdentityReference
UserAccount
    name!:str password!:str elevationLevel:ElevationLevel linuxUserConfiguration:LinuxUserConfiguration
    windowsUserConfiguration:WindowsUserConfiguration
UserIdentity
    username:str autoUser:AutoUserSpecification
VMExtension
    name!:str publisher!:str type!:str typeHandlerVersion:str autoUpgradeMinorVersion:bool
    enableAutomaticUpgrade:bool settings:{str} protectedSettings:{str} provisionAfterExtensions:[str]
VirtualMachineConfiguration
    imageReference!:BatchVmImageReference nodeAgentSKUId!:str windowsConfiguration:WindowsConfiguration
    dataDisks:[DataDisk] licenseType:str containerConfiguration:BatchContainerConfiguration
    diskEncryptionConfiguration:DiskEncryptionConfiguration
    nodePlacementConfiguration:BatchNodePlacementConfiguration extensions:[VMExtension] osDisk:BatchOsDisk
    securityProfile:SecurityProfile serviceArtifactReference:ServiceArtifactReference
WindowsConfiguration
    enableAutomaticUpdates:bool
WindowsUserConfiguration
    loginMode:LoginMode
"""

# ENUM value|value|...; the service takes them in any case.
_ENUMS = """
AutoUserScope task|pool
BatchAllTasksCompleteMode noaction|terminatejob
BatchJobActionKind none|disable|terminate
BatchJobDefaultOrder none|creationtime
BatchNodeDeallocateOption requeue|terminate|taskcompletion|retaineddata
BatchNodeDeallocationOption requeue|terminate|taskcompletion|retaineddata
BatchNodeDisableSchedulingOption requeue|terminate|taskcompletion
BatchNodeFillType spread|pack
BatchNodePlacementPolicyType regional|zonal
BatchNodeRebootKind requeue|terminate|taskcompletion|retaineddata
BatchNodeReimageOption requeue|terminate|taskcompletion|retaineddata
BatchPoolLifetimeOption jobschedule|job
BatchTaskFailureMode noaction|performexitoptionsjobaction
CachingType none|readonly|readwrite
ContainerHostDataPath Shared|Startup|VfsMounts|Task|JobPrep|Applications
ContainerType dockerCompatible|criCompatible
ContainerWorkingDirectory taskWorkingDirectory|containerImageDefault
DependencyAction satisfy|block
DiffDiskPlacement cachedisk
DisableBatchJobOption requeue|terminate|wait
DiskEncryptionTarget osdisk|temporarydisk
DynamicVNetAssignmentScope none|job
ElevationLevel nonadmin|admin
HostEndpointSettingsModeTypes Audit|Enforce
IPFamily IPv4|IPv6
InboundEndpointProtocol tcp|udp
IpAddressProvisioningType batchmanaged|usermanaged|nopublicipaddresses
LoginMode batch|interactive
NetworkSecurityGroupRuleAccess allow|deny
OutputFileUploadCondition tasksuccess|taskfailure|taskcompletion
SecurityEncryptionTypes DiskWithVMGuestState|NonPersistedTPM|VMGuestStateOnly
SecurityTypes trustedLaunch|confidentialvm
StorageAccountType standard_lrs|premium_lrs|standardssd_lrs
UpgradeMode automatic|manual|rolling
"""

# Whole resources, as a PUT sends them back: what the client cannot set is ignored there.
_RESOURCES = frozenset({"BatchJob", "BatchJobSchedule", "BatchTask"})


@dataclass(frozen=True, slots=True)
class Field:
    kind: str
    required: bool


@functools.cache
def models() -> dict[str, dict[str, Field]]:
    """Every model with its fields."""
    found: dict[str, dict[str, Field]] = {}
    fields: dict[str, Field] = {}
    for line in _MODELS.strip().splitlines():
        if not line.startswith(" "):
            fields = found.setdefault(line, {})
            continue
        for word in line.split():
            name, _, kind = word.partition(":")
            fields[name.removesuffix("!")] = Field(kind, name.endswith("!"))
    return found


@functools.cache
def enums() -> dict[str, dict[str, str]]:
    """Every enumeration: its values by their lower case."""
    found: dict[str, dict[str, str]] = {}
    for line in _ENUMS.strip().splitlines():
        name, values = line.split()
        found[name] = {value.lower(): value for value in values.split("|")}
    return found


Check = Callable[[Any, str], Any]


def validated(model: str, content: object) -> Json:
    """`content` with nulls left out and enumerations in their own spelling.

    Raises:
        BatchFault: a property is unknown, missing, of the wrong type or no value of its enumeration.
    """
    checked = _check_of(model)(content, "")
    assert isinstance(checked, dict)
    return checked


@functools.cache
def _check_of(kind: str) -> Check:
    """The check of a kind of value, made once: a sweep sends tens of thousands of them."""
    if kind.startswith("["):
        return _list_check(kind[1:-1])
    if kind.startswith("{"):
        return _mapping
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind in enums():
        return _enum_check(kind)
    return _object_check(kind)


def _list_check(kind: str) -> Check:
    def check(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _mismatch(path, value, "a list")
        of_item = _check_of(kind)
        return [of_item(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return check


def _enum_check(kind: str) -> Check:
    values = enums()[kind]

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str) or value.lower() not in values:
            raise invalid_property(path, value, "must be one of " + ", ".join(values.values()))
        return values[value.lower()]

    return check


def _object_check(model: str) -> Check:
    fields = models()[model]
    required = [name for name, field in fields.items() if field.required]
    checks: dict[str, Check] = {}

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(path or model, value, "an object")
        checked: Json = {}
        for name, item in value.items():
            of_field = checks.get(name)
            if of_field is None:
                if name not in fields:
                    if model in _RESOURCES and not path:
                        continue
                    raise BatchFault(
                        "UnsupportedProperty",
                        f"{model} has no such property",
                        values={"PropertyName": _join(path, name)},
                    )
                # When first met, as models may contain each other.
                of_field = checks[name] = _check_of(fields[name].kind)
            if item is not None:
                checked[name] = of_field(item, f"{path}.{name}" if path else name)
        for name in required:
            if name not in checked:
                raise BatchFault(
                    "MissingRequiredProperty", f"{model} needs it", values={"PropertyName": _join(path, name)}
                )
        return checked

    return check


def _mapping(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(path, value, "an object")
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _mismatch(path: str, value: object, wanted: str) -> BatchFault:
    return invalid_property(path, value, f"must be {wanted}")


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(path, value, "a string")
    return value


def _integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(path, value, "an integer")
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _mismatch(path, value, "true or false")
    return value


def _time(value: Any, path: str) -> str:
    text = _text(value, path)
    try:
        parse_iso(text)
    except ValueError as problem:
        raise _mismatch(path, value, "an RFC 3339 time") from problem
    return text


def _duration(value: Any, path: str) -> str:
    text = _text(value, path)
    try:
        parse_duration(text)
    except ValueError as problem:
        raise _mismatch(path, value, "an ISO 8601 duration") from problem
    return text


_SCALARS: dict[str, Check] = {"str": _text, "int": _integer, "bool": _boolean, "time": _time, "duration": _duration}
