"""The Python client's informer: its cache follows the server through changes, ends of watches and deletions."""

import queue

from kubernetes import client, config
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

NAMESPACE = "default"
PATIENCE = 60


def main():
    config.load_kube_config()
    core = client.CoreV1Api()
    core.create_namespaced_config_map(NAMESPACE, configmap("before", "0"))
    # Each watch of the informer lasts a second: it has to go on where the one before it ended.
    informer = SharedInformer(
        core.list_namespaced_config_map, namespace=NAMESPACE, label_selector="by=informer", resync_period=1
    )
    events = queue.Queue()
    for kind in (ADDED, MODIFIED, DELETED):
        informer.add_event_handler(kind, lambda found, kind=kind: events.put((kind, found.metadata.name, found.data["i"])))
    informer.start()
    expect(events, (ADDED, "before", "0"))
    core.create_namespaced_config_map(NAMESPACE, configmap("after", "0"))
    expect(events, (ADDED, "after", "0"))
    for i in range(1, 6):
        core.patch_namespaced_config_map("after", NAMESPACE, {"data": {"i": str(i)}})
        expect(events, (MODIFIED, "after", str(i)))
    expect(events, (MODIFIED, "before", "0"))  # by a resync
    core.delete_namespaced_config_map("before", NAMESPACE)
    expect(events, (DELETED, "before", "0"))
    assert [found.metadata.name for found in informer.cache.list()] == ["after"], informer.cache.list_keys()
    # It leaves the selector, and so the cache.
    core.patch_namespaced_config_map("after", NAMESPACE, {"metadata": {"labels": {"by": "nobody"}}})
    expect(events, (DELETED, "after", "5"))
    assert informer.cache.list() == []
    informer.stop()
    print("informer: fine")


def expect(events, wanted):
    """Waits for an event; a resync may tell in between what is known."""
    seen = []
    while wanted not in seen:
        seen.append(events.get(timeout=PATIENCE))


def configmap(name, i):
    metadata = client.V1ObjectMeta(name=name, labels={"by": "informer"})
    return client.V1ConfigMap(metadata=metadata, data={"i": i})


main()
