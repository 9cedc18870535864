/**
 * Who supplied the address of a request, which decides how far it is checked before anything is sent
 * (jobs-and-imports 7.4):
 * - `config`: the configuration; never checked;
 * - `operator`: a caller without `account`; `egress.denyHosts` holds, the rest with `egress.guardOperators`;
 * - `account`: a caller for an account; everything is checked.
 */
export type AddressSupplier = 'config' | 'operator' | 'account';
