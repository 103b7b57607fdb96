"""A toolstack: makes the nodes of a guest, and removes them again."""

import errno

import xen.lowlevel.xs

BACKEND, GUEST = 1, 2

handle = xen.lowlevel.xs.xs()
home = handle.get_domain_path(GUEST)
print(home)

for domid in BACKEND, GUEST:
    handle.introduce_domain(domid, 1234, domid)
handle.mkdir("", home)
handle.set_permissions("", home, [{"dom": GUEST}])
handle.set_permissions("", home, [{"dom": GUEST}, {"dom": BACKEND, "read": True}])
print(handle.get_permissions("", home))
# The list grants rights to the guest only: domain 0 becomes the owner.
handle.set_permissions("", home, [{"dom": GUEST, "read": True, "write": True}])
print(handle.get_permissions("", home))

handle.write("", home + "/name", "gäst")
print(handle.read("", home + "/name"), handle.ls("", home))

for path in home + "/nothing", home:
    try:
        print(handle.get_permissions("", path))
    except RuntimeError as exc:
        if exc.args[0] != errno.ENOENT:
            raise
        print("nothing there:", exc.args)

try:
    handle.write("", home + "/name", "x" * 5000)
except xen.lowlevel.xs.Error as exc:
    print(exc)
try:
    handle.read("", home + "//name")
except xen.lowlevel.xs.Error as exc:
    code, message = exc.args
    print(code == errno.EINVAL, message)

handle.set_target(GUEST, BACKEND)
handle.resume_domain(GUEST)
for domid in GUEST, BACKEND:
    handle.release_domain(domid)
handle.rm("", home)
print(handle.ls("", home), handle.read("", home))
