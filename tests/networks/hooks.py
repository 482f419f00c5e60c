"""What passes through the parts of a network."""


def seen(network, images, **modules):
    """What each of the named modules is given and what it gives, as (first argument, result), when images go through.

    Of a module that is applied several times, the last.
    """
    found = {}
    handles = [
        module.register_forward_hook(lambda _, given, result, name=name: found.update({name: (given[0], result)}))
        for name, module in modules.items()
    ]
    network(images)
    for handle in handles:
        handle.remove()
    return found
