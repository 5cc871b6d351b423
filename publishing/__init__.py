"""What `make release` does: a version of this project, its entry in the changelog, its tag and its bill of materials.

For maintainers; nothing that serves or deploys imports it. The releases that hosts hold are something else, see
deployment/render/release.py.
"""
