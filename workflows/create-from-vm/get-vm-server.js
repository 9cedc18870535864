/* Finds the compute node the instance is on. */
function getVmServer(job, cb) {
    var request = {
        url: vmapiUrl,
        method: 'get',
        path: '/vms/' + job.params.vm_uuid,
        deadline: Date.now() + 9000
    };
    send(job, request, function (err, vm) {
        if (err) {
            cb(err);
        } else if (!vm.server_uuid) {
            cb({ name: 'InternalError', message: 'VM ' + job.params.vm_uuid + ' is on no server' });
        } else {
            job.params.server_uuid = vm.server_uuid;
            job.server_uuid = vm.server_uuid;
            cb(null, 'Got VM server');
        }
    });
}
