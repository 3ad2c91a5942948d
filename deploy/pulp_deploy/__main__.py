"""`python -m pulp_deploy` is `pulp-tasks`."""

from pulp_deploy.start import main

if __name__ == "__main__":
    main()
