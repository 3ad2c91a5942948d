"""`python -m pulp_deploy` is `pulp-tasks`."""

from pulp_deploy.main import main

if __name__ == "__main__":
    main()
