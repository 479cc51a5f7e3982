"""The Python client's dynamic client: create, read, change, apply, watch and delete objects, as its users do."""

from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

NAMESPACE = "default"


def main():
    config.load_kube_config()
    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    assert dynamic_client.version["kubernetes"]["major"] == "1", dynamic_client.version
    configmaps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
    objects_live(configmaps)
    errors_are_told_apart(configmaps)
    apply_owns_fields(configmaps)
    subresources_answer(deployments)
    a_watch_resumes(configmaps)
    lists_come_in_pages(configmaps)
    print("dynamic client: fine")


def objects_live(configmaps):
    made = configmaps.create(body=configmap("python", color="red"), namespace=NAMESPACE)
    assert made.metadata.uid and made.data.color == "red", made
    for content_type, body in [
        ("application/merge-patch+json", {"data": {"color": "blue"}}),
        ("application/strategic-merge-patch+json", {"data": {"shape": "round"}}),
        ("application/json-patch+json", [{"op": "add", "path": "/data/size", "value": "small"}]),
    ]:
        configmaps.patch(name="python", namespace=NAMESPACE, body=body, content_type=content_type)
    found = configmaps.get(name="python", namespace=NAMESPACE)
    assert found.data.to_dict() == {"color": "blue", "shape": "round", "size": "small"}, found.data
    changed = found.to_dict()
    changed["data"] = {"color": "green"}
    configmaps.replace(body=changed, namespace=NAMESPACE)
    assert configmaps.get(name="python", namespace=NAMESPACE).data.to_dict() == {"color": "green"}
    listed = configmaps.get(namespace=NAMESPACE, label_selector="by=python")
    assert [item.metadata.name for item in listed.items] == ["python"], listed
    configmaps.delete(name="python", namespace=NAMESPACE)


def errors_are_told_apart(configmaps):
    configmaps.create(body=configmap("once"), namespace=NAMESPACE)
    stale = configmap("once")
    stale["metadata"]["resourceVersion"] = "1"
    for error, reason, call in [
        (NotFoundError, "NotFound", lambda: configmaps.get(name="none", namespace=NAMESPACE)),
        (ConflictError, "AlreadyExists", lambda: configmaps.create(body=configmap("once"), namespace=NAMESPACE)),
        (ConflictError, "Conflict", lambda: configmaps.replace(body=stale, namespace=NAMESPACE)),
        (UnprocessibleEntityError, "Invalid", lambda: configmaps.create(body=configmap("Bad_Name"), namespace=NAMESPACE)),
    ]:
        try:
            call()
        except error as said:
            assert said.summary() and f'"reason":"{reason}"' in said.body, said.body
        else:
            raise AssertionError(f"{error} was expected")
    configmaps.delete(name="once", namespace=NAMESPACE)


def apply_owns_fields(configmaps):
    apply = lambda manager, **data: configmaps.server_side_apply(
        body=configmap("shared", **data), namespace=NAMESPACE, field_manager=manager
    )
    apply("one", color="red", shape="round")
    try:
        apply("two", color="blue")
    except ConflictError as conflict:
        assert 'conflict with \\"one\\": .data.color' in conflict.body, conflict.body
    else:
        raise AssertionError("a conflict was expected")
    configmaps.server_side_apply(
        body=configmap("shared", color="blue"), namespace=NAMESPACE, field_manager="two", force_conflicts=True
    )
    left = apply("one")
    assert left.data.to_dict() == {"color": "blue"}, left.data
    configmaps.delete(name="shared", namespace=NAMESPACE)


def subresources_answer(deployments):
    labels = {"app": "python"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none:v1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "python"}, "spec": spec}
    deployments.create(body=body, namespace=NAMESPACE)
    scale = deployments.scale.get(name="python", namespace=NAMESPACE)
    assert scale.kind == "Scale" and scale.spec.to_dict().get("replicas", 0) == 0, scale
    deployments.scale.patch(
        name="python", namespace=NAMESPACE, body={"spec": {"replicas": 2}}, content_type="application/merge-patch+json"
    )
    assert deployments.get(name="python", namespace=NAMESPACE).spec.replicas == 2
    assert deployments.status.get(name="python", namespace=NAMESPACE).kind == "Deployment"
    deployments.delete(name="python", namespace=NAMESPACE)


def a_watch_resumes(configmaps):
    """What happened while nobody looked is told when the watch goes on from the version that was seen last."""
    seen = configmaps.create(body=configmap("watched"), namespace=NAMESPACE).metadata.resourceVersion
    for i in range(3):
        body = {"data": {"i": str(i)}}
        configmaps.patch(name="watched", namespace=NAMESPACE, body=body, content_type="application/merge-patch+json")
    configmaps.delete(name="watched", namespace=NAMESPACE)
    told = []
    for event in configmaps.watch(namespace=NAMESPACE, name="watched", resource_version=seen, timeout=30):
        told.append((event["type"], event["raw_object"].get("data", {}).get("i")))
        if event["type"] == "DELETED":
            break
    assert told == [("MODIFIED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], told


def lists_come_in_pages(configmaps):
    names = [f"page-{i}" for i in range(7)]
    for name in names:
        configmaps.create(body=configmap(name), namespace=NAMESPACE)
    found, next_page = [], None
    while next_page != "":
        page = configmaps.get(namespace=NAMESPACE, label_selector="by=python", limit=3, _continue=next_page)
        found += [item.metadata.name for item in page.items]
        next_page = page.metadata["continue"] or ""
    assert found == names, found
    configmaps.delete(namespace=NAMESPACE, label_selector="by=python")
    assert configmaps.get(namespace=NAMESPACE, label_selector="by=python").items == []


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"by": "python"}}, "data": data}


main()
